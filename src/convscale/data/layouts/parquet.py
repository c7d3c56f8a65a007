"""Parquet files with a column of images, one or several a split."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from convscale.data.image_files import count_kinds, holds_image, scan, subfolders
from convscale.data.images import ImageCollection, ParquetImages
from convscale.data.labels import Used, derive_classes, label_indices
from convscale.data.layouts.found import Found
from convscale.data.split_columns import as_text, by_columns, is_split_column
from convscale.data.split_names import split_name
from convscale.errors import DataError

# A shard of a split as on the Hugging Face hub: train-00000-of-00004.parquet
_SHARD = re.compile(r"-\d+-of-\d+$")


def read_parquet_folder(folder: Path, parquet: list[Path], label_column: str, used: Used) -> Found:
    """Files named like splits, or a single file. Raises DataError where they cannot be told apart."""
    named: dict[str, list[Path]] = {}
    for file in parquet:
        name = split_name(_SHARD.sub("", file.stem))
        if name is not None and name.plain:
            named.setdefault(name.split, []).append(file)
    for split, files in named.items():
        spellings = {re.sub(r"[\d\W_]+$", "", _SHARD.sub("", file.stem)).casefold() for file in files}
        if len(spellings) > 1:
            raise DataError(
                f"{folder}: two splits mean {split}: {', '.join(file.name for file in files)}", hint="keep one of them"
            )
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
    skipped += [sub.name for sub in subfolders(folder) if holds_image(sub)]
    others = [(kind, path) for kind, path in scan(folder, below=False).others if path not in read]
    return read_parquet(named, label_column)._replace(skipped=tuple(skipped), not_used=count_kinds(others))


def read_parquet(files: dict[str, list[Path]], label_column: str) -> Found:
    """Columns `image` ({bytes, path}) and `label_column`; class names from Hugging Face's metadata if any, each
    split's numbers read by its own names. The columns of a single table may say what splits its rows are of."""
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
    if len(splits) > 1:
        return Found(splits, classes)
    ((split, images),) = splits.items()
    saying = [name for name in table.column_names if is_split_column(name) and name not in ("image", label_column)]
    cells = {name: [as_text(value) for value in table[name].to_pylist()] for name in saying}
    parts, notes = by_columns(images, cells, split, path.name)
    return Found(parts, classes, notes=tuple(notes))


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
            raise DataError(f"{paths[0]}: no column {column!r}, only {', '.join(table.column_names)}", hint=layout)
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
