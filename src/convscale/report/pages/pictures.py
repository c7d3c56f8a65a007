"""Small picture files that records name."""

from __future__ import annotations

from pathlib import Path

MAX_PICTURE_BYTES = 40_000  # larger ones are not this library's small pictures
KINDS = {".jpg": "jpeg", ".png": "png", ".webp": "webp"}


def small_picture(folder: Path, name: str) -> bytes | None:
    """A small picture that a record names, None where it is gone, too large, or not in the record's folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix not in KINDS or not path.is_file():
        return None
    return path.read_bytes() if path.stat().st_size <= MAX_PICTURE_BYTES else None
