"""A data set: images to train on, images held out, and the classes of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from convscale.data.exclusions import leave_out
from convscale.data.hub_source import STREAM_PREFIX, is_hub, parse_spec
from convscale.data.image_files import NotUsed
from convscale.data.images import ImageCollection, Labels, Stream, Subset
from convscale.data.layouts import Layout, read_splits
from convscale.data.named import find_copy
from convscale.display import Display, Displayed
from convscale.errors import DataError
from convscale.records import DataRecord, Metric

HELD_OUT_SHARE = 0.2
HeldOut = Literal["test", "validation", "stratified"]


@dataclass(frozen=True, repr=False)
class Dataset(Displayed):
    """Images to train on and images held out from it.

    test: the held-out images, on which the final accuracy is measured. held_out: "test" or "validation" where the data
    has such a split, else "stratified": a seeded fifth of each class. validation: the data's own validation split if
    it has a test split too; epochs, early stopping and searches use it. skipped: files and folders next to the data
    that belong to no split. excluded: positions of the images that a list left out, by split. published: the name of a
    published data set, metric: what is reported of it. layout: what the folders are, if that was given. not_used:
    what in the data's folder is not read, by kind. notes: what was decided about the data, and where this copy differs
    from what was published.
    """

    source: str
    classes: tuple[str, ...]
    train: ImageCollection | Stream
    test: ImageCollection | Stream
    held_out: HeldOut
    seed: int
    label_column: str = "label"
    skipped: tuple[str, ...] = ()
    excluded: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    published: str | None = None
    metric: Metric = "top1"
    notes: tuple[str, ...] = ()
    validation: ImageCollection | Stream | None = None
    layout: Layout | None = None
    not_used: tuple[NotUsed, ...] = ()

    def _display(self) -> Display:
        """How many images there are, of which classes."""
        names = f"{', '.join(self.classes[:10])}{', ...' * (len(self.classes) > 10)}"
        rows = (
            ("training images", f"{len(self.train):,}"),
            *([("validation", f"{len(self.validation):,}")] if self.validation is not None else []),
            ("held out", f"{len(self.test):,}, {self.held_out}"),
            ("classes", f"{len(self.classes):,}: {names}"),
        )
        return Display(f"Dataset {self.source}", rows=rows, notes=self.notes)

    def record(self) -> DataRecord:
        """What a run records about its data."""
        counts = len(self.train), len(self.test)
        return DataRecord(
            self.source, self.held_out, self.seed, self.label_column, *counts, self._fingerprint(),
            published=self.published, metric=self.metric, layout=self.layout,
            validation_images=0 if self.validation is None else len(self.validation),
        )  # fmt: skip

    def _fingerprint(self) -> str:
        """sha256 of class names, and of the images' names and labels in their order; it moves with the data."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        place = self.source.removeprefix(f"{self.published}@")
        for images in (self.train, self.test, *(() if self.validation is None else (self.validation,))):
            if isinstance(images, Stream):
                digest.update(f"{len(images)} streamed\0".encode())
                continue
            digest.update(images.labels.tobytes())
            for index in range(len(images)):
                name = images.name(index).removeprefix(place)
                digest.update(f"{name}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def open_dataset(
    data: str | Path,
    *,
    seed: int = 0,
    label_column: str = "label",
    exclude: str | Path | Mapping[str, Sequence[int]] | None = None,
    layout: Layout | None = None,
) -> Dataset:
    """Data to train on: "digits", a folder, a parquet file or a folder of them, `hf:NAME`, `hf-stream:NAME`, or a set
    of `convscale.data.named`, `cifar10` from the hub or `cifar10@FOLDER`.

    A folder holds one subfolder per class, or images and a CSV with columns of file names and labels (and of splits),
    or parquet files; subfolders, CSV or parquet files named train, validation and test, in any spelling, are splits.
    Subfolders that could be splits or classes are refused unless `layout` is "classes" or "splits". Of two splits the
    second is held out; of three the test split is, and the validation split guides training. Without splits a
    stratified fifth is held out by `seed`. `exclude` is a file that lists images to leave out before that, as
    `convscale data check -o` writes it, or their positions by split. Raises DataError for data that cannot be used.
    """
    if seed < 0:
        raise DataError(f"seed {seed} is not allowed", hint="a whole number from 0")
    if str(data).startswith(STREAM_PREFIX):
        _refuse_layout(data, layout)
        return _open_streams(str(data), seed, label_column, exclude)
    source = source_of(data)  # read from there: images have the names then that they will have when it is opened again
    local = bool(str(data)) and Path(data).exists()
    found = read_splits(source if local or is_hub(data) else data, label_column, layout=layout)
    splits, classes = found.splits, found.classes
    complete = splits
    excluded: Mapping[str, tuple[int, ...]] = {}
    if exclude:
        splits, excluded = leave_out(splits, Path(exclude) if isinstance(exclude, str | Path) else exclude)
    _require_usable(splits, classes, data)
    parts = _divide(splits, classes, seed)
    dataset = Dataset(
        source, classes, *parts, seed, label_column, found.skipped, excluded,
        notes=found.notes, layout=layout, not_used=found.not_used,
        validation=splits.get("validation") if "test" in splits else None,
    )  # fmt: skip
    copy = find_copy(data)
    if copy is None:
        return dataset
    notes = copy.of.notes({split: len(images) for split, images in complete.items()})
    return replace(dataset, published=copy.of.name, metric=copy.of.metric, notes=found.notes + notes)


def _require_usable(splits: Mapping[str, ImageCollection], classes: tuple[str, ...], data: str | Path) -> None:
    """Raise DataError for splits that nothing can be trained on."""
    for name in classes:
        _require_text(name, data)
    for name, images in splits.items():
        if not len(images):
            raise DataError(f"{data}: the {name} split holds no image", hint="every split needs images")
    if not splits.keys() & {"train", "all"}:
        raise DataError(f"{data}: no train split, only {', '.join(splits)}", hint="training needs a train split")
    present = [classes[label] for label in np.unique(_whole(splits).labels)]
    if len(present) < 2:
        raise DataError(f"{data}: one class only ({present[0]!r})", hint="a classifier needs two or more")


def _whole(splits: Mapping[str, ImageCollection]) -> ImageCollection:
    """What there is to train on."""
    return splits["train"] if "train" in splits else splits["all"]


def _divide(
    splits: Mapping[str, ImageCollection], classes: tuple[str, ...], seed: int
) -> tuple[ImageCollection, ImageCollection, HeldOut]:
    """Images to train on, images held out, and how these were chosen."""
    whole = _whole(splits)
    if "test" in splits:
        return whole, splits["test"], "test"
    if "validation" in splits:
        return whole, splits["validation"], "validation"
    train, test = stratified_split(whole.labels, HELD_OUT_SHARE, seed, classes)
    return Subset(whole, train), Subset(whole, test), "stratified"


def source_of(data: str | Path) -> str:
    """How a run records where data comes from: a name as it is, a path from the root on, both for a named set."""
    if (copy := find_copy(data)) is not None:
        return copy.source
    if str(data) == "digits":
        return "digits"
    return parse_spec(str(data)).spec if is_hub(data) else str(Path(data).resolve())


def _open_streams(spec: str, seed: int, label_column: str, exclude: object) -> Dataset:
    from convscale.data.stream import open_streams  # an optional extra, imported when asked for

    if exclude:
        raise DataError(f"{spec}: images of a stream cannot be left out by name", hint="read it as hf:...")
    streams = open_streams(spec, label_column)
    held_out: Literal["test", "validation"] = "test" if "test" in streams else "validation"
    for name in ("train", held_out):
        if name not in streams:
            raise DataError(f"{spec}: no {name} split, only {', '.join(streams)}", hint="a stream needs train and test")
    train, test = streams["train"], streams[held_out]
    validation = streams.get("validation") if held_out == "test" else None
    return Dataset(source_of(spec), train.classes, train, test, held_out, seed, label_column, validation=validation)


def _refuse_layout(data: str | Path, layout: Layout | None) -> None:
    if layout is not None:
        raise DataError(f"{data}: layout {layout} does not apply to a stream", hint="omit the layout")


def open_images(
    data: str | Path,
    *,
    label_column: str = "label",
    layout: Layout | None = None,
    split: str | None = None,
    on_note: Callable[[str], None] | None = None,
) -> tuple[ImageCollection | Stream, tuple[str, ...]]:
    """Images to evaluate on, and their classes: the `split` asked for ("train", "validation" or "test"), else the test
    split, else validation, else all of them; `layout` as in `open_dataset`. `on_note` is called with the notes of
    the data set. Raises DataError for data that cannot be used, and if there is no such split.
    """
    splits: Mapping[str, ImageCollection | Stream]
    if str(data).startswith(STREAM_PREFIX):
        from convscale.data.stream import open_streams  # an optional extra, imported when asked for

        _refuse_layout(data, layout)
        splits = open_streams(str(data), label_column)
        classes = next(iter(splits.values())).classes
    else:
        found = read_splits(data, label_column, layout=layout)
        splits, classes = found.splits, found.classes
        if on_note is not None:
            for note in found.notes:
                on_note(note)
    if split is not None and split not in splits:
        there = "no splits" if "all" in splits else f"no {split} split, only {', '.join(splits)}"
        raise DataError(f"{data}: {there}", hint="omit --split, or name an existing split")
    chosen = splits[split or next(name for name in ("test", "validation", "all", "train") if name in splits)]
    if not len(chosen):
        raise DataError(f"{data}: no image found", hint="evaluation needs images with labels")
    return chosen, classes


def _require_text(name: str, data: str | Path) -> None:
    """Raise DataError for a name that is not text, as file systems may hold: it could not be stored."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{data}: the class name {name!r} is not UTF-8", hint="rename the folder") from None


def stratified_split(labels: Labels, share: float, seed: int, classes: tuple[str, ...] = ()) -> tuple[Labels, Labels]:
    """(kept, held out) indices: `share` of each class, at least one and never all, by a seeded draw.

    Raises DataError for a class of a single image, by its name in `classes` where they are given.
    """
    generator = np.random.default_rng(seed)
    held: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            name = classes[label] if classes else int(label)
            raise DataError(
                f"class {name!r} has a single image", hint="add images of it, remove it, or name splits train and test"
            )
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held += generator.permutation(members)[:count].tolist()
    test = np.array(sorted(held), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), test), test
