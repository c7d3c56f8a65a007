"""Data sets by name: ImageNet and the eight that the paper transfers to, with their splits, sizes and metrics.

    NAME         the copy on the Hugging Face hub, as cifar10; read as `hf:` is
    NAME@PLACE   another copy: a folder or parquet file, or hf:PATH for what `datasets` wrote or the hub's own files

The hub's names and columns are as published there; nothing here has fetched them. Where a file or folder has the
text for its path, it is meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from convscale.data.hub_source import PREFIX, STREAM_PREFIX, is_hub, parse_spec
from convscale.errors import DataError
from convscale.records import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSet:
    """A published data set. train_images, test_images: as published, of the splits that a protocol trains and tests on.

    hub: its name on the hub, None where it has none; label_column: there. train: splits to train on, joined. held_out:
    the first of these splits that exists is held out. metric: what is reported for it.
    """

    name: str
    classes: int
    train_images: int
    test_images: int
    metric: Metric = "top1"
    hub: str | None
    label_column: str = "label"
    train: tuple[str, ...] = ("train",)
    held_out: tuple[str, ...] = ("test", "validation")

    def roles(self, found: Collection[str]) -> tuple[tuple[str, ...], str | None]:
        """Which of the splits found are trained on, and which one is held out, None if there is none."""
        held_out = next((name for name in self.held_out if name in found), None)
        return tuple(name for name in self.train if name in found and name != held_out), held_out

    def used(self, found: Collection[str]) -> frozenset[str]:
        """The splits that are read at all: labels of others may be missing. "all" is data without splits."""
        train, held_out = self.roles(found)
        return frozenset(name for name in found if name in ("all", *train, held_out))

    def notes(self, images: Mapping[str, int]) -> tuple[str, ...]:
        """Notes if the numbers of images by split differ from the published ones; only for test images if
        there are no others."""
        train = images.get("train", images.get("all"))
        test = images.get("test", images.get("validation", None if train is None else 0))
        differences = [
            f"{found:,} {word} images here, {published:,} published"
            for word, found, published in (("training", train, self.train_images), ("test", test, self.test_images))
            if found not in (None, published)
        ]
        return (f"{self.name}: {'; '.join(differences)}",) if differences else ()


# Sizes and classes: Tan & Le 2019, table 6, which prints 3,369 test images of pets where the set's own list has 3,669.
# Metrics: Kornblith et al. 2019, table 1. ImageNet's test split has no labels: its validation split is what counts.
_SETS = (
    NamedSet(name="cifar10", classes=10, train_images=50_000, test_images=10_000, hub="uoft-cs/cifar10"),
    NamedSet(
        name="cifar100", classes=100, train_images=50_000, test_images=10_000, hub="uoft-cs/cifar100",
        label_column="fine_label",
    ),
    NamedSet(name="birdsnap", classes=500, train_images=47_386, test_images=2_443, hub=None),
    NamedSet(name="stanford-cars", classes=196, train_images=8_144, test_images=8_041, hub="tanganke/stanford_cars"),
    NamedSet(
        name="flowers102", classes=102, train_images=2_040, test_images=6_149, metric="mean_per_class",
        hub="dpdl-benchmark/oxford_flowers102", train=("train", "validation"),
    ),
    NamedSet(
        name="fgvc-aircraft", classes=100, train_images=6_667, test_images=3_333, metric="mean_per_class",
        hub="HuggingFaceM4/FGVC-Aircraft", label_column="variant", train=("train", "validation"),
    ),
    NamedSet(
        name="oxford-pets", classes=37, train_images=3_680, test_images=3_669, metric="mean_per_class",
        hub="timm/oxford-iiit-pet",
    ),
    NamedSet(name="food101", classes=101, train_images=75_750, test_images=25_250, hub="ethz/food101"),
    NamedSet(
        name="imagenet", classes=1000, train_images=1_281_167, test_images=50_000, hub="ILSVRC/imagenet-1k",
        held_out=("validation", "test"),
    ),
)  # fmt: skip
NAMED_SETS = {row.name: row for row in _SETS}


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a named set is read from. place: hf:..., or a path from the root on."""

    of: NamedSet
    place: str

    @property
    def source(self) -> str:
        """What opens the same copy from any folder."""
        return f"{self.of.name}@{self.place}"

    @property
    def fetched(self) -> bool:
        """Whether it lies on the hub."""
        return is_hub(self.place) and not parse_spec(self.place).local

    def label_column(self, asked: str) -> str:
        """The column of labels: as asked, else the hub's where the files are."""
        return self.of.label_column if asked == "label" and is_hub(self.place) else asked

    def require_classes(self, count: int) -> None:
        """Raise DataError for another number of classes than the set has."""
        if count != self.of.classes:
            raise DataError(
                f"{self.source}: {count:,} classes, but {self.of.name} has {self.of.classes:,}",
                hint=f"--label-column selects other labels; to read other classes, omit the name: {self.place}",
            )


def find_copy(data: str | Path) -> Copy | None:
    """The copy of a named set that `data` means, None for all other data. Raises DataError for one without a place."""
    name, at, place = str(data).partition("@")
    named = NAMED_SETS.get(name)
    if named is None or Path(data).exists():
        return None
    if not at:
        if named.hub is None:
            raise DataError(
                f"{name}: not on the Hugging Face hub: it is published as links to images, many of them dead",
                hint=f"give a local copy: {name}@FOLDER",
            )
        return Copy(named, f"{PREFIX}{named.hub}")
    if not place or place.startswith(STREAM_PREFIX):
        problem = "a named set cannot be streamed" if place else "nothing after the @"
        raise DataError(f"{data}: {problem}", hint=f"give a folder, a parquet file or hf:PATH, as in {name}@FOLDER")
    return Copy(named, parse_spec(place).spec if is_hub(place) else str(Path(place).expanduser().resolve()))
