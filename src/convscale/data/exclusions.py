"""Lists of images to leave out of training: a text file of image names, one per line, with comments after '#'."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convscale.data.images import ImageCollection, Subset
from convscale.errors import DataError

if TYPE_CHECKING:
    from convscale.data.check import DataCheck


def exclusions(check: DataCheck) -> dict[str, str]:
    """Images to leave out, each with its reason.

    Unreadable images; all exact copies whose labels contradict; training's copies of images that are held out; and
    of exact copies all but the first one remaining.
    """
    found = {finding.image: f"unreadable: {finding.reason}" for finding in check.unreadable}
    for group in check.duplicates:
        copies = dict(zip(group.images, group.splits, strict=True))
        leaving: dict[str, str] = {}
        if group.kind == "exact" and group.contradicts:
            leaving = dict.fromkeys(
                copies, f"exact copies with conflicting labels: {', '.join(sorted(set(group.labels)))}"
            )
        elif group.leaks:
            held_out = next(image for image, split in copies.items() if split != "train")
            reason = f"{group.kind} duplicate of {held_out}, which is held out"
            leaving = {image: reason for image, split in copies.items() if split == "train"}
        if group.kind == "exact":
            first, *others = [image for image in copies if image not in leaving] or [""]
            leaving |= dict.fromkeys(others, f"exact copy of {first}")
        for image, reason in leaving.items():
            found.setdefault(image, reason)
    return found


def format_exclusions(check: DataCheck) -> str:
    """The list as text: each image on a line of its own, below a comment saying why."""
    lines = [f"# Images of {_written(check.source)} to leave out; delete the lines of those to keep."]
    by_reason: dict[str, list[str]] = {}
    for image, reason in exclusions(check).items():
        by_reason.setdefault(reason, []).append(_written(image))
    for reason, images in by_reason.items():
        lines += [f"# {_written(reason)}", *images]
    return "\n".join(lines) + "\n"


def _written(name: str) -> str:
    """A name in one line of text: as it is, or as a JSON string where it would not be read back."""
    return name if name.isprintable() and name == name.strip() and name[:1] not in ('"', "#") else json.dumps(name)


def read_exclusions(file: Path) -> list[str]:
    """The names in a list. Raises DataError for a file that cannot be read."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        return [json.loads(line) if line.startswith('"') else line for line in lines if line and line[0] != "#"]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a list of image names"
        raise DataError(f"{file}: {reason}", hint="convscale data check DATA -o FILE writes one") from None


def leave_out(
    splits: dict[str, ImageCollection], listed: Path | Mapping[str, Sequence[int]]
) -> tuple[dict[str, ImageCollection], dict[str, tuple[int, ...]]]:
    """The splits without some images, and the positions of those by split.

    listed: positions by split, or a file of names, where relative paths are taken from the current folder. Raises
    DataError for an image that the data does not have.
    """
    positions = _positions(splits, listed) if isinstance(listed, Path) else {k: tuple(v) for k, v in listed.items()}
    kept: dict[str, ImageCollection] = {}
    for split, images in splits.items():
        gone = np.array(positions.get(split, ()), dtype=np.int64)
        if len(gone) and not (gone.min() >= 0 and gone.max() < len(images)):
            raise DataError(f"the {split} split has {len(images):,} images, none at {gone.max()}")
        kept[split] = Subset(images, np.setdiff1d(np.arange(len(images)), gone)) if len(gone) else images
    return kept, positions


def _positions(splits: dict[str, ImageCollection], file: Path) -> dict[str, tuple[int, ...]]:
    missing = {os.path.abspath(name): name for name in read_exclusions(file)}  # noqa: PTH100 - '..' is resolved too
    listed = frozenset(missing)
    found: dict[str, tuple[int, ...]] = {}
    for split, images in splits.items():
        places = (os.path.abspath(images.name(index)) for index in range(len(images)))  # noqa: PTH100
        gone = {index: place for index, place in enumerate(places) if place in listed}
        for place in gone.values():
            missing.pop(place, None)
        if gone:
            found[split] = tuple(gone)
    if missing:
        first = next(iter(missing.values()))
        raise DataError(
            f"{file}: {len(missing)} of its {len(listed)} images are not in the data, the first is {first!r:.300}",
            hint="name the data as in the list, or make a new one: convscale data check DATA -o FILE",
        )
    return found
