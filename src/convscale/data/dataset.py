"""Data sets: `digits`, a folder with a subfolder a class, a folder with a CSV of labels, parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convscale.data.images import ArrayImages, FileImages, ImageCollection, ParquetImages, Subset
from convscale.errors import DataError, MissingExtraError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
SPLITS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
HELD_OUT_SHARE = 0.2

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Images to train on and images held out from it.

    held_out: "test" or "validation" where the data has such a split, else "stratified": a seeded fifth of
    each class. skipped: files beside the data that belong to no split.
    """

    source: str
    classes: tuple[str, ...]
    train: ImageCollection
    test: ImageCollection
    held_out: Literal["test", "validation", "stratified"]
    seed: int
    skipped: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What a run records about its data."""
        return {
            "source": self.source,
            "held_out": self.held_out,
            "seed": self.seed,
            "train_images": len(self.train),
            "test_images": len(self.test),
            "classes": len(self.classes),
            "skipped": list(self.skipped),
        }


def open_dataset(data: str | Path, *, seed: int = 0, label_column: str = "label") -> Dataset:
    """Data to train on: "digits", a folder, a parquet file or a folder of them.

    A folder holds one subfolder a class, or images and one CSV with columns of file names and labels, or
    parquet files; subfolders (or parquet files) called train, validation and test are splits. Without splits a
    stratified fifth is held out by `seed`. Raises DataError for data that cannot be used.
    """
    splits, classes, skipped = _read(data, label_column)
    if len(classes) < 2:
        raise DataError(f"{data}: one class only ({classes[0]!r})", hint="a classifier needs two or more")
    if "train" not in splits and len(splits) > 1:
        raise DataError(f"{data}: splits {', '.join(splits)} but no train")
    for name, images in splits.items():
        if not len(images):
            raise DataError(f"{data}: the {name} split holds no image")
    source = str(data) if str(data) == "digits" else str(Path(data).resolve())
    held_out: Literal["test", "validation"] | None = (
        "test" if "test" in splits else "validation" if "validation" in splits else None
    )
    if held_out and "train" in splits:
        return Dataset(source, classes, splits["train"], splits[held_out], held_out, seed, skipped)
    whole = next(iter(splits.values()))
    train, test = stratified_split(whole.labels, HELD_OUT_SHARE, seed)
    return Dataset(source, classes, Subset(whole, train), Subset(whole, test), "stratified", seed, skipped)


def open_images(data: str | Path, *, label_column: str = "label") -> tuple[ImageCollection, tuple[str, ...]]:
    """Images to evaluate on, and their classes: the test split, else validation, else all of them."""
    splits, classes, _ = _read(data, label_column)
    chosen = next(splits[name] for name in ("test", "validation", "all", "train") if name in splits)
    if not len(chosen):
        raise DataError(f"{data}: no image found")
    return chosen, classes


def stratified_split(labels: Labels, share: float, seed: int) -> tuple[Labels, Labels]:
    """(kept, held out) indices: `share` of each class, at least one and never all, by a seeded draw.

    Raises DataError for a class of a single image.
    """
    generator = np.random.default_rng(seed)
    held: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(f"class {label} has a single image", hint="a split needs two or more a class")
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held += generator.permutation(members)[:count].tolist()
    test = np.array(sorted(held), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), test), test


_Read = tuple[dict[str, ImageCollection], tuple[str, ...], tuple[str, ...]]


def _read(data: str | Path, label_column: str) -> _Read:
    """Splits by name ("all" where the data has none), class names, skipped files."""
    if str(data) == "digits":
        return _read_digits()
    path = Path(data)
    if not path.exists():
        raise DataError(f"{data}: no such file or folder", hint="data is 'digits', a folder of images, or parquet")
    if path.is_file():
        if path.suffix != ".parquet":
            raise DataError(f"{path}: not a parquet file", hint="give the folder that holds the images")
        return _read_parquet({"all": path}, (), label_column)
    parquet = sorted(path.glob("*.parquet"))
    if parquet:
        named = {SPLITS[file.stem]: file for file in parquet if file.stem in SPLITS}
        if not named and len(parquet) == 1:
            named = {"all": parquet[0]}
        if not named:
            names = ", ".join(file.name for file in parquet)
            raise DataError(
                f"{path}: {names}: which is which?",
                hint="name them train.parquet and test.parquet, or give one file",
            )
        skipped = tuple(file.name for file in parquet if file not in named.values())
        return _read_parquet(named, skipped, label_column)
    tables = sorted(path.glob("*.csv"))
    if tables:
        if len(tables) > 1:
            raise DataError(f"{path}: {len(tables)} CSV files", hint="leave one, with file names and labels")
        return _read_csv(path, tables[0], label_column)
    return _read_folders(path)


def _read_digits() -> _Read:
    """1,797 handwritten digits of 8x8 pixels, from the UCI repository through scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "digits", "the data set 'digits'") from None
    bunch = load_digits()
    pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)
    images = ArrayImages(pixels, bunch.target.astype(np.int64), "digits")
    return {"all": images}, tuple(str(name) for name in bunch.target_names), ()


def _read_folders(path: Path) -> _Read:
    """One subfolder a class, directly or below folders named as splits."""
    folders = _subfolders(path)
    named = {SPLITS[folder.name.lower()]: folder for folder in folders if folder.name.lower() in SPLITS}
    roots = named if "train" in named else {"all": path}
    skipped = tuple(folder.name for folder in folders if named and folder not in named.values())
    main_root = roots.get("train", path)
    classes = tuple(folder.name for folder in _subfolders(main_root) if any(_images(folder)))
    if not classes:
        raise DataError(
            f"{path}: no image found",
            hint="put images into one subfolder a class, or beside a CSV of file names and labels",
        )
    splits: dict[str, ImageCollection] = {}
    for name, root in roots.items():
        unknown = {f.name for f in _subfolders(root) if any(_images(f))} - set(classes)
        if unknown:
            raise DataError(f"{root}: class folders that train does not have: {', '.join(sorted(unknown))}")
        paths, labels = [], []
        for label, class_name in enumerate(classes):
            found = sorted(_images(root / class_name)) if (root / class_name).is_dir() else []
            paths += found
            labels += [label] * len(found)
        splits[name] = FileImages(paths, np.array(labels, dtype=np.int64))
    return splits, classes, skipped


def _subfolders(path: Path) -> list[Path]:
    return sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))


def _images(folder: Path) -> Iterator[Path]:
    return (
        file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )


def _read_csv(folder: Path, table: Path, label_column: str) -> _Read:
    """Images in `folder` and below, named in the first column that names files; labels beside them."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        columns = list(reader.fieldnames or [])
    if label_column not in columns:
        raise DataError(
            f"{table}: no column {label_column!r}, but {', '.join(columns)}",
            hint="name it with --label-column",
        )
    if not rows:
        raise DataError(f"{table}: no row")
    by_name = {image.name: image for image in sorted(_images(folder))}

    def locate(name: str | None) -> Path | None:
        direct = folder / (name or "")
        return direct if direct.is_file() else by_name.get(name or "")

    named = [column for column in columns if column != label_column and locate(rows[0][column])]
    if not named:
        raise DataError(f"{table}: no column names an image in {folder}", hint="paths are relative to the CSV")
    paths = []
    for line, row in enumerate(rows, start=2):
        image = locate(row[named[0]])
        if image is None:
            raise DataError(f"{table}, line {line}: no such image {row[named[0]]!r}")
        paths.append(image)
    where = f"{table}, column {label_column!r}"
    values = [row[label_column] for row in rows]
    classes = _derive_classes(values, where)
    return {"all": FileImages(paths, _label_indices(values, classes, where))}, classes, ()


def _read_parquet(files: dict[str, Path], skipped: tuple[str, ...], label_column: str) -> _Read:
    """Columns `image` ({bytes, path}) and `label_column`, class names from Hugging Face's metadata if any."""
    import pyarrow
    import pyarrow.parquet

    tables = {}
    for name, file in files.items():
        try:
            tables[name] = table = pyarrow.parquet.read_table(file, memory_map=True)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{file}: not readable as parquet: {error}") from None
        for column in ("image", label_column):
            if column not in table.column_names:
                raise DataError(
                    f"{file}: no column {column!r}, but {', '.join(table.column_names)}",
                    hint="the layout is a column image of {bytes, path} and a column of labels",
                )
    values = {name: table[label_column].to_pylist() for name, table in tables.items()}
    where = f"{next(iter(files.values()))}, column {label_column!r}"
    classes = next((names for table in tables.values() if (names := _feature_names(table, label_column))), None)
    indexed = classes is not None
    if classes is None:
        classes = _derive_classes([value for column in values.values() for value in column], where)
    splits: dict[str, ImageCollection] = {}
    for name, table in tables.items():
        labels = _label_indices(values[name], classes, where, indexed=indexed)
        splits[name] = ParquetImages(files[name], table["image"], labels)
    return splits, classes, skipped


def _derive_classes(values: list[Any], where: str) -> tuple[str, ...]:
    """The distinct labels as names, in numeric order where all are numbers. Raises DataError for no label."""
    for row, value in enumerate(values):
        if value is None or value == "":
            raise DataError(f"{where}: row {row} has no label")
    names = {str(value) for value in values}
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _label_indices(values: list[Any], classes: tuple[str, ...], where: str, *, indexed: bool = False) -> Labels:
    """Labels as positions in `classes`; `indexed` whole numbers are positions already.

    Raises DataError for a label outside them.
    """
    positions: dict[Any, int] = {name: index for index, name in enumerate(classes)}
    if indexed:
        positions |= {index: index for index in range(len(classes))}
    labels = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        position = positions.get(value if indexed else str(value))
        if position is None:
            raise DataError(
                f"{where}: row {row} has label {value!r}, out of range",
                hint=f"{len(classes)} classes are named: labels 0 to {len(classes) - 1}",
            )
        labels[row] = position
    return labels


def _feature_names(table: Any, label_column: str) -> tuple[str, ...] | None:
    """Class names that Hugging Face datasets keeps in the schema's metadata."""
    raw = (table.schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(raw)["info"]["features"][label_column]["names"] if raw else None
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names)) if names else None
