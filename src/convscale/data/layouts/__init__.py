"""The layouts that data comes in: `digits`, a folder with one subfolder per class, images beside a CSV, parquet."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from convscale.data.hub_source import PREFIX
from convscale.data.images import ArrayImages, ImageCollection, Joined
from convscale.data.labels import Used, similar_names
from convscale.data.layouts.folders import data_folder, read_folders
from convscale.data.layouts.found import Found, Layout
from convscale.data.layouts.parquet import read_parquet, read_parquet_folder
from convscale.data.layouts.tables import find_tables, read_tables
from convscale.data.named import Copy, find_copy
from convscale.errors import DataError, MissingExtraError

__all__ = ["Found", "Layout", "read_splits"]


def read_splits(data: str | Path, label_column: str, used: Used = frozenset, *, layout: Layout | None = None) -> Found:
    """Splits by name ("all" where the data has none), class names, and what else is not used.

    `used` picks the splits to read from those found; `layout` says what the subfolders are, where that is
    ambiguous. Raises DataError for data that cannot be used.
    """
    if layout is not None and layout not in get_args(Layout):
        raise DataError(f"layout {layout!r} is not allowed", hint="classes or splits")
    found = _read(data, label_column, used, layout)
    return found._replace(notes=(*found.notes, *similar_names(found.classes)))


def _read(data: str | Path, label_column: str, used: Used, layout: Layout | None) -> Found:
    if (copy := find_copy(data)) is not None:
        return _read_copy(copy, label_column, layout)
    path = Path(data)
    if layout is not None and not (str(data) and path.is_dir()):
        raise DataError(f"{data}: not a folder, so layout {layout} does not apply", hint="omit the layout")
    if str(data) == "digits":
        return _read_digits()
    if str(data).startswith(PREFIX):
        from convscale.data.hub import read_hub  # an optional extra, imported when asked for

        return read_hub(str(data), label_column, used=used)
    if not str(data) or not path.exists():
        raise DataError(
            f"{data}: no such file or folder",
            hint="data is 'digits', a folder of images, parquet, hf:NAME, or one that `convscale data sets` lists",
        )
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise DataError(f"{path}: not a parquet file", hint="give the folder that holds the images")
        return read_parquet({"all": [path]}, label_column)
    return _read_folder(path, label_column, used, layout)


def _read_folder(path: Path, label_column: str, used: Used, layout: Layout | None) -> Found:
    """Parquet, or images by tables or folders, one level deeper where an archive put them there."""
    place = data_folder(path, layout)
    for folder in (place, place / "data"):
        if parquet := sorted(folder.glob("*.[pP][aA][rR][qQ][uU][eE][tT]")):
            if layout is not None:
                raise DataError(f"{folder}: layout {layout} does not apply to parquet", hint="omit the layout")
            return _read_from(place, path, read_parquet_folder(folder, parquet, label_column, used))
    notes: tuple[str, ...] = ()
    if layout is None and (tables := find_tables(place)):
        read = read_tables(place, tables, label_column, used)
        if isinstance(read, Found):
            return _read_from(place, path, read)
        notes = read
    found = read_folders(place, used, layout)
    return _read_from(place, path, found._replace(notes=notes + found.notes))


def _read_from(place: Path, asked: Path, found: Found) -> Found:
    """With a note where the data is not in the very folder that was asked for."""
    note = (f"read from {place}, the only folder with images in {asked}",) if place != asked else ()
    return found._replace(notes=note + found.notes)


def _read_copy(copy: Copy, label_column: str, layout: Layout | None) -> Found:
    """A named set's own splits: those to train on joined as "train", and the one that is held out."""
    try:
        found = _read(copy.place, copy.label_column(label_column), copy.of.used, layout)
    except DataError as error:
        if not copy.fetched:
            raise
        advice = (
            f"download it and give {copy.of.name}@FOLDER, or {copy.of.name}@hf:FOLDER for files laid out as on the hub"
        )
        raise DataError(error.message, hint=f"{advice}; a gated set needs a login") from None
    splits = found.splits
    copy.require_classes(len(found.classes))
    train, held_out = copy.of.roles(splits)
    if len(train) > 1:
        joined: dict[str, ImageCollection] = {"train": Joined([splits[name] for name in train])}
        splits = joined | ({held_out: splits[held_out]} if held_out else {})
    return found._replace(splits=splits)


def _read_digits() -> Found:
    """1,797 handwritten digits of 8x8 pixels, from the UCI repository through scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "digits", "the data set 'digits'") from None
    bunch = load_digits()
    pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)
    images = ArrayImages(pixels, bunch.target.astype(np.int64), "digits")
    return Found({"all": images}, tuple(str(name) for name in bunch.target_names))
