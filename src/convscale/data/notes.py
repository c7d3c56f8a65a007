"""Notes on a data set, each thing once."""

from __future__ import annotations

from typing import Protocol

from convscale.data.image_files import NotUsed, describe_unused

_NO_SPLIT = "image of no split"


class _Described(Protocol):
    @property
    def skipped(self) -> tuple[str, ...]: ...
    @property
    def not_used(self) -> tuple[NotUsed, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


def data_notes(data: _Described) -> list[str]:
    """What is not used of the data, and what else was decided about it. A folder of no split is named in one note, with
    its number of images, unless another note says more about it."""
    told = {name for name in data.skipped if any(note.startswith(f"{name}: not used") for note in data.notes)}
    folders = [name for name in data.skipped if name not in told]
    images = sum(row.count for row in data.not_used if row.kind == _NO_SPLIT)
    rest = [row for row in data.not_used if row.kind != _NO_SPLIT or not data.skipped]
    counted = f" ({images:,} {'image' if images == 1 else 'images'} of no split)" if images and not told else ""
    unused = [f"not used: {', '.join(folders)}{counted}"] if folders else []
    return [*unused, *describe_unused(rest), *data.notes]
