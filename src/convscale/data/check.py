"""check_data: every image of a data set read in full, with everything damaged, odd or duplicate among them.

Images are read one at a time and only fingerprints kept. User files are only ever read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from convscale.data.duplicates import Fingerprints
from convscale.data.examining import examine
from convscale.data.examining import read_fully as read_fully
from convscale.data.image_files import NotUsed
from convscale.data.images import ImageCollection
from convscale.data.layouts import Layout, read_splits
from convscale.data.named import find_copy
from convscale.data.usage import Usage
from convscale.errors import DataError
from convscale.preprocessing import require_range
from convscale.progress import Progress


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
    split; `unreadable` images cannot be used, `unusual` ones are readable but may not be what was meant. `skipped`:
    what next to the data is not used; `not_used`: the same by kind. `notes`: what was decided about the data, where a
    copy of a published set differs in size, and which parts of the pixels a network does not see."""

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
        """For the training split, or for all images if there is none."""
        counts = {
            name: splits["train"] if "train" in splits else sum(splits.values())
            for name, splits in self.classes.items()
        }
        largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        return Imbalance(largest, counts[largest], smallest, counts[smallest])


def check_data(
    data: str | Path,
    *,
    label_column: str = "label",
    layout: Layout | None = None,
    stored_range: tuple[float, float] | None = None,
    quiet: bool = False,
) -> DataCheck:
    """Read every image of `data` ("digits", a folder, parquet), as `open_dataset` takes it; `stored_range` are the
    stored values that become 0 and 255, where not all that a file can hold (`Preprocessing`).

    Raises DataError for data whose layout or labels cannot be read; problems with single images are reported.
    """
    if stored_range is not None:
        require_range(stored_range)
    found = read_splits(data, label_column, layout=layout)
    splits, classes = found.splits, found.classes
    places = [(name, images, index) for name, images in splits.items() for index in range(len(images))]
    progress = Progress(len(places), quiet=quiet)
    prints, usage = Fingerprints(len(places)), Usage(stored_range)
    unreadable: list[Finding] = []
    unusual: list[Finding] = []
    readable: set[int] = set()
    for place, (split, images, index) in enumerate(places):
        name = images.name(index)
        try:
            image, reasons, stored = examine(images, index, usage)
            prints.add(place, image, stored)
        except DataError as error:
            unreadable.append(Finding(name, split, error.message.removeprefix(f"{name}: ")))
        else:
            if reasons:
                unusual.append(Finding(name, split, "; ".join(reasons)))
            readable.add(int(images.labels[index]))
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
    present = {int(label) for images in splits.values() for label in images.labels}
    lost = [classes[label] for label in sorted(present - readable)]
    of_classes = [f"no image of class {name} can be read" for name in lost]
    notes = (*found.notes, *(copy.of.notes(counts) if copy else ()), *of_classes, *usage.notes())
    return DataCheck(
        str(data), counts, by_class, tuple(unreadable), tuple(unusual), tuple(groups), found.skipped, notes,
        found.not_used,
    )  # fmt: skip


def _count_classes(splits: dict[str, ImageCollection], classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    counts = {split: Counter(images.labels.tolist()) for split, images in splits.items()}
    return {name: {split: counts[split][label] for split in splits} for label, name in enumerate(classes)}
