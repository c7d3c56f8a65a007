"""check_data: every image of a data set read in full, and what is wrong, odd or double about them.

Images are read one at a time and only fingerprints kept. User files are only ever read.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import ExifTags, Image

from convscale.data.duplicates import Fingerprints
from convscale.data.image_files import NotUsed
from convscale.data.images import ImageCollection, decode, open_image
from convscale.data.layouts import Layout, read_splits
from convscale.data.named import find_copy
from convscale.errors import DataError
from convscale.progress import Progress

SMALL = 8  # pixels: a shorter side is reported
ELONGATED = 4  # the longer side over the shorter one: a central crop sees a quarter of the image or less
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF",
    ".tiff": "TIFF", ".ppm": "PPM",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say about one image."""

    image: str
    split: str
    reason: str


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Two or more images that show the same, with the label and the split of each."""

    JSON: ClassVar = ("kind", "images", "labels", "splits", "contradicts")

    kind: Literal["exact", "near"]
    images: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]

    @property
    def contradicts(self) -> bool:
        """Whether the same image has several labels."""
        return len(set(self.labels)) > 1

    @property
    def leaks(self) -> bool:
        """Whether training sees an image that is held out."""
        return "train" in self.splits and len(set(self.splits)) > 1


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The largest and the smallest class to train on, in images; `ratio` is None where the smallest has none."""

    JSON: ClassVar = ("ratio", "largest", "largest_images", "smallest", "smallest_images")

    largest: str
    largest_images: int
    smallest: str
    smallest_images: int

    @property
    def ratio(self) -> float | None:
        return self.largest_images / self.smallest_images if self.smallest_images else None


@dataclass(frozen=True)
class DataCheck:
    """What `check_data` found. `images` counts by split ("all" where the data has none), `classes` by class and
    split; `unreadable` images are of no use, `unusual` ones are read right but may not be what was meant. `skipped`:
    what beside the data is not used, `not_used`: by kind. `notes`: what was decided about the data, and where a copy of
    a published set has other sizes than were published."""

    JSON: ClassVar = (
        "images",
        "classes",
        "unreadable",
        "unusual",
        "duplicates",
        "leaks",
        "imbalance",
        "not_used",
        "splits=images",
    )

    source: str
    images: dict[str, int]
    classes: dict[str, dict[str, int]]
    unreadable: tuple[Finding, ...]
    unusual: tuple[Finding, ...]
    duplicates: tuple[DuplicateGroup, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    not_used: tuple[NotUsed, ...] = ()

    @property
    def leaks(self) -> tuple[DuplicateGroup, ...]:
        """Duplicates on both sides: in the training split and in one that is held out."""
        return tuple(group for group in self.duplicates if group.leaks)

    @property
    def imbalance(self) -> Imbalance:
        """Of the training split, or of all images where there is none."""
        counts = {
            name: splits["train"] if "train" in splits else sum(splits.values())
            for name, splits in self.classes.items()
        }
        largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        return Imbalance(largest, counts[largest], smallest, counts[smallest])


def check_data(
    data: str | Path, *, label_column: str = "label", layout: Layout | None = None, quiet: bool = False
) -> DataCheck:
    """Read every image of `data` ("digits", a folder, parquet), as `open_dataset` takes it.

    Raises DataError for data whose layout or labels cannot be read; what is wrong with single images is reported.
    """
    found = read_splits(data, label_column, layout=layout)
    splits, classes = found.splits, found.classes
    places = [(name, images, index) for name, images in splits.items() for index in range(len(images))]
    progress = Progress(len(places), quiet=quiet)
    prints = Fingerprints(len(places))
    unreadable: list[Finding] = []
    unusual: list[Finding] = []
    for place, (split, images, index) in enumerate(places):
        name = images.name(index)
        try:
            image, reasons = read_fully(images, index)
            prints.add(place, image)
        except DataError as error:
            unreadable.append(Finding(name, split, error.message.removeprefix(f"{name}: ")))
        else:
            if reasons:
                unusual.append(Finding(name, split, "; ".join(reasons)))
        progress.step("checking images", pace=f"{place + 1:,} of {len(places):,}")

    def group(kind: Literal["exact", "near"], members: list[int]) -> DuplicateGroup:
        alike = [places[member] for member in members]
        labels = tuple(classes[images.labels[index]] for _, images, index in alike)
        names = tuple(images.name(index) for _, images, index in alike)
        return DuplicateGroup(kind, names, labels, tuple(split for split, _, _ in alike))

    groups = [group("exact", members) for members in prints.exact_groups()]
    groups += [group("near", members) for members in prints.near_groups()]
    counts = {name: len(images) for name, images in splits.items()}
    by_class = _count_classes(splits, classes)
    copy = find_copy(data)
    notes = found.notes + (copy.of.notes(counts) if copy else ())
    return DataCheck(
        str(data), counts, by_class, tuple(unreadable), tuple(unusual), tuple(groups), found.skipped, notes,
        found.not_used,
    )  # fmt: skip


def _count_classes(splits: dict[str, ImageCollection], classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    counts = {split: Counter(images.labels.tolist()) for split, images in splits.items()}
    return {name: {split: counts[split][label] for split in splits} for label, name in enumerate(classes)}


def read_fully(images: ImageCollection, index: int) -> tuple[Image.Image, list[str]]:
    """The image upright in RGB, and what is unusual about its file. Raises DataError saying why it is unreadable."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image, reasons = _read(images, index)
    return image, reasons + sorted({f"Pillow warns: {warning.message}" for warning in caught})


def _read(images: ImageCollection, index: int) -> tuple[Image.Image, list[str]]:
    name, content = images.name(index), images.content(index)
    if content is None:
        return decode(images.image(index), 3, name), []
    try:
        image = open_image(content, name)
    except DataError as error:
        raise DataError(f"{name}: {_what_instead(content)}") if "not an image" in error.message else error from None
    upright = decode(image, 3, name)
    if _lacks_end(content, image.format or ""):
        raise DataError(f"{name}: cut short: the end of the file is missing")
    try:
        return upright, _oddities(image, content, Path(name).suffix.lower())
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: damaged: {error}") from None


def _what_instead(content: bytes) -> str:
    """What a file that no decoder knows seems to be."""
    start = content[:1000]
    if not start:
        return "empty file"
    if b"<html" in start.lower() or b"<!doctype html" in start.lower():
        return "a web page, not an image"
    if start[4:8] == b"ftyp":
        return f"{start[8:12].decode('latin-1').strip()} file (HEIC, AVIF or a film), which cannot be read"
    try:
        start[:-4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return "not an image that can be read"
    return "text, not an image" if b"\0" not in start else "not an image that can be read"


def _lacks_end(content: bytes, kind: str) -> bool:
    """Whether the mark that ends a file of this kind is missing: decoders forgive a cut in the last bytes."""
    if kind in ("JPEG", "MPO"):
        return content.find(b"\xff\xd9", _start_of_scan(content)) < 0
    if kind == "PNG":
        return b"IEND\xaeB`\x82" not in content
    if kind == "GIF":
        return not content.rstrip(b"\0").endswith(b";")
    if kind == "WEBP":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return False


def _start_of_scan(content: bytes) -> int:
    """Where a JPEG's pixels begin (ITU-T T.81, B.1): behind its headers, whose thumbnail has an end of its own."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != 0xDA:
        fill = content[position + 1] == 0xFF
        position += 1 if fill else 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return position


def _oddities(image: Image.Image, content: bytes, suffix: str) -> list[str]:
    """What a person should know about a file that training reads well."""
    found = []
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    if suffix in FORMATS and FORMATS[suffix] != kind:
        found.append(f"{kind} in a file called {suffix}")
    if image.mode == "CMYK":
        found.append("CMYK colours, read as RGB")
    if _bits(image, content) > 8:
        found.append(f"{_bits(image, content)} bits a channel, read as 8")
    if image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1):
        found.append("turned by its EXIF orientation")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        found.append("several frames, of which the first is read")
    if _transparent(image):
        found.append("transparent, laid on white")
    if min(image.size) < SMALL:
        found.append(f"very small: {image.width}x{image.height}")
    if max(image.size) > ELONGATED * min(image.size):
        found.append(f"elongated: {image.width}x{image.height}")
    return found


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits a channel, as the file says: Pillow shows 16-bit RGB as 8-bit."""
    if image.format == "PNG":
        return content[24]  # IHDR's bit depth (PNG specification, 11.2.1)
    declared = getattr(image, "tag_v2", {}).get(258, 8)  # TIFF's BitsPerSample
    if image.mode.startswith("I"):
        return 32 if image.mode == "I" and image.format == "TIFF" else 16
    return int(max(declared) if isinstance(declared, tuple) else declared)


def _transparent(image: Image.Image) -> bool:
    """Whether some pixel is not opaque."""
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "La", "RGBa"):
        return False
    opacity = np.asarray(image.convert("RGBA").getchannel("A"))
    return bool(opacity.min() < 255)
