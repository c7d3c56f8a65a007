"""The image that a row of a table means, however its path is written."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from convscale.data.image_files import is_image_file

_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z]:|[A-Za-z][\w+.-]+://")


class Located(NamedTuple):
    """The images that a text may mean; sure where it is the very path."""

    images: list[Path]
    sure: bool

    @property
    def points(self) -> int:
        """How much this speaks for the text being one of an image."""
        return (1 + self.sure) if len(self.images) == 1 else bool(self.images)


class Images:
    """The images in a folder and below, by their paths there, names, and both without suffix."""

    def __init__(self, images: list[Path], folder: Path) -> None:
        self.all, self.folder = images, folder
        self._by_path: dict[str, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            inside = PurePosixPath(image.relative_to(folder).as_posix())
            self._by_path[str(inside)].append(image)
            self._by_name[inside.name].append(image)
            for stem in {str(inside.with_suffix("")), inside.stem}:
                self._by_stem[stem].append(image)

    def locate(self, text: str) -> Located:
        """The images that a path, name or id may mean: as it is, with backslashes, of another machine (the part of it
        that is found here), without suffix."""
        if not text or len(text) >= 1000:
            return Located([], sure=False)
        slashed = text.replace("\\", "/")
        parts = [part for part in slashed.split("/") if part not in ("", ".")]
        for path in (text, "/".join(parts)):
            if path in self._by_path and not text.startswith("/"):
                return Located(self._by_path[path], sure=True)
        if (direct := self.folder / text).is_file() and is_image_file(direct):  # somewhere else
            return Located([direct], sure=True)
        if not parts:
            return Located([], sure=False)
        foreign = slashed.startswith("/") or _DRIVE_OR_SCHEME.match(slashed) is not None
        return Located(self._guess(parts, foreign), sure=False)

    def _guess(self, parts: list[str], foreign: bool) -> list[Path]:
        if foreign or (len(parts) > 1 and parts[0] == self.folder.name):
            for start in range(1, len(parts)):
                inside = "/".join(parts[start:])
                if found := self._by_path.get(inside):
                    return found
        if foreign:
            return self._closest(parts, self._by_name.get(parts[-1]) or self._by_stem.get(parts[-1], []))
        if len(parts) == 1 and (named := self._by_name.get(parts[0])):
            return named
        return self._by_stem.get("/".join(parts), [])

    def _closest(self, parts: list[str], found: list[Path]) -> list[Path]:
        """Of several images those whose folders agree furthest, from the last on."""
        for count in range(2, len(parts) + 1):
            closer = [
                image for image in found if list(image.relative_to(self.folder).parts[-count:-1]) == parts[-count:-1]
            ]
            if not closer:
                break
            found = closer
        return found
