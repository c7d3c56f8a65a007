"""The layouts that data comes in: `digits`, a folder with a subfolder a class, images beside a CSV, parquet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from convscale.data.hub_source import PREFIX
from convscale.data.images import ArrayImages, FileImages, ImageCollection, Joined, ParquetImages
from convscale.data.labels import SPLITS, Used, derive_classes, label_indices
from convscale.data.named import Copy, find_copy
from convscale.errors import DataError, MissingExtraError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
_Read = tuple[dict[str, ImageCollection], tuple[str, ...], tuple[str, ...]]


def read_splits(data: str | Path, label_column: str, used: Used = frozenset) -> _Read:
    """Splits by name ("all" where the data has none), class names, and what beside them was skipped.

    `used` picks the splits to read from those found.
    """
    if (copy := find_copy(data)) is not None:
        return _read_copy(copy, label_column)
    if str(data) == "digits":
        return _read_digits()
    if str(data).startswith(PREFIX):
        from convscale.data.hub import read_hub  # an optional extra, imported when asked for

        return read_hub(str(data), label_column, used=used)
    path = Path(data)
    if not str(data) or not path.exists():
        raise DataError(
            f"{data}: no such file or folder",
            hint="data is 'digits', a folder of images, parquet, hf:NAME, or one that `convscale data sets` lists",
        )
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise DataError(f"{path}: not a parquet file", hint="give the folder that holds the images")
        return _read_parquet({"all": [path]}, (), label_column)
    for folder in (path, path / "data"):
        parquet = sorted(folder.glob("*.[pP][aA][rR][qQ][uU][eE][tT]"))
        if parquet:
            return _read_parquet_folder(folder, parquet, label_column, used)
    tables = sorted(path.glob("*.[cC][sS][vV]"))
    if len(tables) > 1:
        raise DataError(f"{path}: {len(tables)} CSV files", hint="leave one, with file names and labels")
    if tables:
        return _read_csv(path, tables[0], label_column)
    return _read_folders(path, used)


def _read_copy(copy: Copy, label_column: str) -> _Read:
    """A named set's own splits: those to train on joined as "train", and the one that is held out."""
    try:
        splits, classes, skipped = read_splits(copy.place, copy.label_column(label_column), copy.of.used)
    except DataError as error:
        if not copy.fetched:
            raise
        advice = f"download it and give {copy.of.name}@FOLDER, or {copy.of.name}@hf:FOLDER for files as on the hub"
        raise DataError(error.message, hint=f"{advice}; a gated set needs a login") from None
    copy.require_classes(len(classes))
    train, held_out = copy.of.roles(splits)
    if len(train) > 1:
        joined: dict[str, ImageCollection] = {"train": Joined([splits[name] for name in train])}
        splits = joined | ({held_out: splits[held_out]} if held_out else {})
    return splits, classes, skipped


# train.parquet, or a shard of it as on the Hugging Face hub: train-00000-of-00004.parquet
_SPLIT_FILE = re.compile(r"([a-z]+)(-\d+-of-\d+)?", re.IGNORECASE)


def _read_parquet_folder(folder: Path, parquet: list[Path], label_column: str, used: Used) -> _Read:
    named: dict[str, list[Path]] = {}
    for file in parquet:
        match = _SPLIT_FILE.fullmatch(file.stem)
        if match and match[1].lower() in SPLITS:
            named.setdefault(SPLITS[match[1].lower()], []).append(file)
    if not named and len(parquet) == 1:
        named = {"all": parquet}
    if not named:
        names = ", ".join(file.name for file in parquet)
        raise DataError(
            f"{folder}: {names}: which is which?", hint="name them train.parquet and test.parquet, or give one file"
        )
    named = {name: files for name, files in named.items() if name in used(named)}
    read = {file for files in named.values() for file in files}
    skipped = [file.name for file in parquet if file not in read]
    skipped += [sub.name for sub in _subfolders(folder) if any(_images(sub))]
    return _read_parquet(named, tuple(skipped), label_column)


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


def _read_folders(path: Path, used: Used) -> _Read:
    """One subfolder a class, directly or below folders named as splits."""
    folders = _subfolders(path)
    splits = {SPLITS[f.name.lower()]: f for f in folders if f.name.lower() in SPLITS and _holds_classes(f)}
    if "train" not in splits and len(splits) < len(folders):
        splits = {}  # classes that happen to be called like a split
    splits = {name: folder for name, folder in splits.items() if name in used(splits)}
    roots = splits or {"all": path}
    skipped = tuple(folder.name for folder in folders if splits and folder not in splits.values())
    classes = tuple(f.name for f in _subfolders(roots.get("train", next(iter(roots.values())))) if any(_images(f)))
    if not classes:
        loose = " without labels" if any(_images(path)) else ""
        raise DataError(
            f"{path}: no image found{loose and ' in a class folder, but images' + loose}",
            hint="put images into one subfolder a class, or beside a CSV of file names and labels",
        )
    found: dict[str, ImageCollection] = {}
    for name, root in roots.items():
        unknown = {f.name for f in _subfolders(root) if any(_images(f))} - set(classes)
        if unknown:
            raise DataError(f"{root}: class folders that train does not have: {', '.join(sorted(unknown))}")
        paths: list[Path] = []
        labels: list[int] = []
        for label, class_name in enumerate(classes):
            images = sorted(_images(root / class_name))
            paths += images
            labels += [label] * len(images)
        found[name] = FileImages(paths, np.array(labels, dtype=np.int64))
    return found, classes, skipped


def _subfolders(path: Path) -> list[Path]:
    return sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))


def _holds_classes(folder: Path) -> bool:
    return any(any(_images(sub)) for sub in _subfolders(folder))


def _images(folder: Path) -> Iterator[Path]:
    """Image files in a folder and below, hidden ones left out."""
    return (
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )


def _read_csv(folder: Path, table: Path, label_column: str) -> _Read:
    """Images in `folder` and below, named in the first column that names files; labels beside them."""
    rows = _csv_rows(table, label_column)
    by_name: dict[str, list[Path]] = {}
    for image in sorted(_images(folder)):
        by_name.setdefault(image.name, []).append(image)

    def locate(name: str) -> list[Path]:
        direct = folder / name
        return [direct] if name and len(name) < 1000 and direct.is_file() else by_name.get(name, [])

    named = [column for column in rows[0] if column != label_column and locate(rows[0][column])]
    if not named:
        raise DataError(f"{table}: no column names an image in {folder}", hint="paths are relative to the CSV")
    labels: dict[Path, str] = {}
    for line, row in enumerate(rows, start=2):
        images = locate(row[named[0]])
        if len(images) != 1:
            problem = "several images are called" if images else "no such image"
            raise DataError(
                f"{table}, line {line}: {problem} {row[named[0]]!r:.200}", hint="paths are relative to the CSV"
            )
        if labels.setdefault(images[0], row[label_column]) != row[label_column]:
            raise DataError(f"{table}, line {line}: {row[named[0]]!r} has two labels", hint="an image has one label")
    where = f"{table}, column {label_column!r}"
    values = list(labels.values())
    classes = derive_classes(values, where)
    return {"all": FileImages(list(labels), label_indices(values, classes, where))}, classes, ()


def _csv_rows(table: Path, label_column: str) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = [{key: (row.get(key) or "").strip() for key in columns} for row in reader]
    except UnicodeDecodeError:
        raise DataError(f"{table}: not UTF-8 text", hint="save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{table}: not readable as CSV: {error}") from None
    if columns.count(label_column) != 1:
        found = f"{columns.count(label_column)} columns" if label_column in columns else "no column"
        raise DataError(
            f"{table}: {found} {label_column!r}, but {', '.join(columns):.200}",
            hint="the first line names the columns; pick one with --label-column",
        )
    if not rows:
        raise DataError(f"{table}: no row", hint="a line an image, after the line of column names")
    return rows


def _read_parquet(files: dict[str, list[Path]], skipped: tuple[str, ...], label_column: str) -> _Read:
    """Columns `image` ({bytes, path}) and `label_column`; class names from Hugging Face's metadata if any, each
    split's numbers read by its own names."""
    tables = {name: _parquet_table(paths, label_column) for name, paths in files.items()}
    named: dict[str, list[Any]] = {}  # labels as names, or as they stand where the split names none
    declared: tuple[str, ...] | None = None
    for name, table in tables.items():
        names, where = _feature_names(table, label_column), f"{files[name][0]}, column {label_column!r}"
        values = table[label_column].to_pylist()
        if names is not None:
            if declared is not None and set(names) != set(declared):
                raise DataError(f"{where}: the splits name different classes", hint="they must have the same")
            declared = declared or names
            values = [names[index] for index in label_indices(values, names, where, indexed=True)]
        named[name] = values
    where = f"{next(iter(files.values()))[0]}, column {label_column!r}"
    classes = declared or derive_classes([value for column in named.values() for value in column], where)
    splits: dict[str, ImageCollection] = {}
    for name, table in tables.items():
        labels = label_indices(named[name], classes, f"{files[name][0]}, column {label_column!r}")
        path = files[name][0] if len(files[name]) == 1 else files[name][0].parent / name
        splits[name] = ParquetImages(path, table["image"], labels)
    return splits, classes, skipped


def _parquet_table(paths: list[Path], label_column: str) -> Any:
    import pyarrow
    import pyarrow.parquet

    layout = "the layout is a column image of {bytes, path} and a column of labels"
    try:
        table = pyarrow.concat_tables([pyarrow.parquet.read_table(path, memory_map=True) for path in paths])
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{paths[0]}: not readable as parquet: {error}", hint=layout) from None
    for column in ("image", label_column):
        if column not in table.column_names:
            raise DataError(f"{paths[0]}: no column {column!r}, but {', '.join(table.column_names)}", hint=layout)
    kind = table.schema.field("image").type
    if not pyarrow.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise DataError(f"{paths[0]}: the column image holds {kind}", hint=layout)
    if not table.num_rows:
        raise DataError(f"{paths[0]}: no row", hint=layout)
    return table


def _feature_names(table: Any, label_column: str) -> tuple[str, ...] | None:
    """Class names that Hugging Face datasets keeps in the schema's metadata."""
    raw = (table.schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(raw)["info"]["features"][label_column]["names"] if raw else None
    except (ValueError, KeyError, TypeError):
        return None
    if not names:
        return None
    if len(set(names)) < len(names):
        raise DataError(f"column {label_column!r}: a class is named twice in the metadata")
    return tuple(map(str, names))
