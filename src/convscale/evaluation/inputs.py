"""The images to predict: files, folders, patterns, and images in memory."""

from __future__ import annotations

import glob
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscale.data.bands import Opened
from convscale.data.image_files import UNOPENED, scan, scan_files
from convscale.data.reading import check_size, open_image
from convscale.errors import DataError

GivenImage = str | Path | bytes | Image.Image | NDArray[Any]


def given_images(images: GivenImage | Sequence[GivenImage]) -> tuple[Images, tuple[str, ...]]:
    """The images given, and notes on what was skipped in folders.

    A path to a folder stands for every image below it, sorted, hidden ones left out; a pattern (`*`, `?`, `[...]`,
    `**` for folders below) for whatever it matches. Raises DataError if there is no image at all, for a folder without
    one, and for anything that is not an image.
    """
    listed = [images] if isinstance(images, str | Path | bytes | Image.Image | np.ndarray) else list(images)
    found: list[Path | bytes | Image.Image] = []
    notes: list[str] = []
    for index, one in enumerate(listed):
        if isinstance(one, str | Path):
            found += _named(one, notes)
        else:
            found.append(one if isinstance(one, bytes) else _in_memory(one, f"images[{index}]"))
    if not found:
        raise DataError("no image given", hint="name an image file, a folder or a pattern")
    if all(isinstance(one, Path) and not one.is_file() for one in found):
        raise DataError(f"{found[0]!s}: no such image file", hint="name image files or folders that exist")
    return Images(found), tuple(notes)


class Images:
    """Images as they were given, each with its position as label: a collection for the loader."""

    def __init__(self, items: Sequence[Path | bytes | Image.Image]) -> None:
        self.items, self.labels = items, np.arange(len(items), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> Opened:
        item = self.items[index]
        if isinstance(item, Image.Image):
            check_size(*item.size, self.name(index))
            return item
        return open_image(self.content(index) or b"", self.name(index))

    def content(self, index: int) -> bytes | None:
        item = self.items[index]
        if isinstance(item, Path):
            if not item.is_file():
                raise DataError(f"{item}: no such image file")
            try:
                return item.read_bytes()
            except OSError as error:
                raise DataError(f"{item}: cannot be read: {error.strerror}") from None
        return item if isinstance(item, bytes) else None

    def name(self, index: int) -> str:
        """The path, or the position among the images if there is none."""
        item = self.items[index]
        return str(item) if isinstance(item, Path) else f"images[{index}]"


def _named(name: str | Path, notes: list[str]) -> list[Path]:
    """The images that a path or a pattern stands for; the path itself where nothing is called so."""
    path = Path(name)
    if path.is_dir():
        return _images([path], f"{path}: no image in this folder", notes)
    if not str(name) or path.exists() or not glob.has_magic(str(name)):
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(str(name), recursive=True))]  # noqa: PTH207 absolute ones too
    return _images(matches, f"{name}: matches no image", notes) if matches else [path]


def _images(places: Sequence[Path], none: str, notes: list[str]) -> list[Path]:
    """The images among files and below folders; a note counts the rest. A broken link is a missing
    image. Raises DataError, saying `none`, without any."""
    images: dict[Path, None] = {}
    others: dict[Path, str] = {}
    for place in places:
        found = scan(place) if place.is_dir() else scan_files([place])
        missing = [path for kind, path in found.others if kind == UNOPENED]
        images |= dict.fromkeys(sorted([*found.images, *missing]))
        others |= {path: kind for kind, path in found.others if kind != UNOPENED}
    counted = ", ".join(f"{kind} ({count:,})" for kind, count in Counter(others.values()).most_common())
    if not images:
        raise DataError(none + (f", only {counted}" if others else ""), hint="name images, or a folder that holds some")
    if others:
        notes.append(f"not recognised as images: {counted}")
    return list(images)


def _in_memory(image: object, name: str) -> Image.Image | bytes:
    """An image of PIL's, or one of NumPy's as that or as its file. Raises DataError for anything else."""
    shape = getattr(image, "shape", getattr(image, "size", ()))
    if isinstance(image, np.ndarray | Image.Image) and 0 in shape:
        raise DataError(f"{name}: an image without pixels", hint="leave it out")
    if isinstance(image, np.ndarray):
        return _array(image, name)
    if isinstance(image, Image.Image):
        return image
    kind = type(image).__name__
    raise DataError(f"{name}: {kind} is not an image", hint="a path, bytes, a PIL image or a NumPy array")


def _array(image: NDArray[Any], name: str) -> Image.Image | bytes:
    """Of grey, RGB and RGBA in 8 bits as PIL has them; others as a .npy file, which says what it cannot be read for."""
    if image.dtype == np.uint8 and image.ndim in (2, 3) and image.shape[2:] in ((), (1,), (3,), (4,)):
        return Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    if image.ndim not in (2, 3) or image.dtype.hasobject:
        raise DataError(
            f"{name}: an array of shape {image.shape}, {image.dtype}, is not an image",
            hint="(height, width) or (height, width, channels) of numbers; pass several as a list",
        )
    file = io.BytesIO()
    np.save(file, image, allow_pickle=False)
    return file.getvalue()
