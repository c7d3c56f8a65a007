"""What reading a layout gives."""

from __future__ import annotations

from typing import Literal, NamedTuple

from convscale.data.image_files import NotUsed
from convscale.data.images import ImageCollection

Layout = Literal["classes", "splits"]  # what the folders of the first level are


class Found(NamedTuple):
    """Splits by name ("all" where the data has none) and class names.

    skipped: folders, files and splits beside them that are not read. not_used: files that are not, by kind. notes: what
    was decided that could have been meant otherwise.
    """

    splits: dict[str, ImageCollection]
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    not_used: tuple[NotUsed, ...] = ()
    notes: tuple[str, ...] = ()
