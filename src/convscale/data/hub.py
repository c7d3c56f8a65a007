"""Data sets through Hugging Face `datasets`, memory-mapped: `read_hub` reads what `convscale.data.hub_source` reaches.

Images stay encoded: nothing here decodes a pixel. `convscale.data.stream` reads the same sources one by one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from convscale.data.bands import Opened
from convscale.data.hub_source import import_datasets, is_saved, load, loading, parse_spec, saved_tables
from convscale.data.images import ImageCollection, Labels
from convscale.data.labels import Used, derive_classes, label_indices
from convscale.data.layouts.found import Found
from convscale.data.reading import open_image
from convscale.data.split_columns import as_text, by_columns, is_split_column
from convscale.data.split_names import SPLITS
from convscale.errors import DataError

_LAYOUT = "a column of images and one of labels; pick the label with --label-column"


class Columns(NamedTuple):
    """Where a data set keeps images and labels. `field`: the key, where the label is one of a JSON object's;
    `names`: the class names that the data set declares."""

    image: str
    label: str
    field: str | None
    names: tuple[str, ...] | None

    def label_of(self, value: Any) -> Any:
        """The label in a value of the label column."""
        return value if self.field is None else (value or {}).get(self.field)


class HubImages:
    """Encoded images in a memory-mapped table of `datasets`; `table` has the image column undecoded."""

    def __init__(self, table: Any, column: str, labels: Labels, source: str) -> None:
        self.table, self.column, self.labels, self.source = table, column, labels, source

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Opened:
        return open_image(self.content(index), self.name(index))

    def content(self, index: int) -> bytes:
        """The file as stored. Raises DataError for a row without one."""
        return encoded(self.table[index][self.column], self.name(index))

    def name(self, index: int) -> str:
        return f"{self.source}[{index}]"


def encoded(stored: Any, name: str) -> bytes:
    """The bytes of a stored image {bytes, path}: `path` is read if there are no bytes. Raises DataError."""
    content, path = (stored or {}).get("bytes"), (stored or {}).get("path")
    if content:
        return bytes(content)
    if not path:
        raise DataError(f"{name}: no image bytes in this row", hint="remove it or replace it")
    try:
        if "://" in path:
            with importlib.import_module("fsspec").open(path, "rb") as file:
                return bytes(file.read())
        return Path(path).read_bytes()
    except Exception as error:  # file systems behind a URL raise anything
        raise DataError(f"{name}: {path} cannot be read: {error}", hint="the images lie outside the table") from None


def read_hub(spec: str, label_column: str, *, used: Used = frozenset, progress: bool = False) -> Found:
    """Splits by name, class names and skipped splits, as `layouts.read_splits`; a single table is divided as its
    columns say. `progress` shows downloads; `used` picks the splits to read from those found.

    The image column is the first of type Image. The label column is `label_column`, else the only one of type
    ClassLabel, else what WebDataset names `cls`, else `label_column` in its `json`. Raises DataError for data that
    cannot be used or reached, MissingExtraError without `datasets`.
    """
    package, source = import_datasets(), parse_spec(spec)
    with loading(source, progress):
        loaded = saved_tables(source) if is_saved(source) else load(source, package.load_dataset)
    tables, skipped = standard_splits(loaded, spec)
    skipped += tuple(name for name in tables if name not in used(tables))
    tables = {name: table for name, table in tables.items() if name not in skipped}
    columns = {name: find_columns(table.features, label_column, spec) for name, table in tables.items()}
    values: dict[str, list[Any]] = {}
    for name, table in tables.items():
        found = columns[name]
        stored = table.with_format(None).select_columns([found.label])[found.label][:]
        values[name] = [found.label_of(value) for value in stored]
    where = {name: f"{spec}, {name}, column {columns[name].label!r}" for name in tables}
    classes = common_classes(columns, spec)
    if classes is None:
        classes = derive_classes([value for column in values.values() for value in column], f"{spec}, labels")
    splits: dict[str, ImageCollection] = {}
    for name, table in tables.items():
        names = columns[name].names
        labels = label_indices(values[name], names or classes, where[name], indexed=names is not None)
        labels = labels if names is None else translate(labels, names, classes)
        splits[name] = HubImages(undecoded(table, columns[name]), columns[name].image, labels, f"{spec}, {name}")
    if len(splits) > 1:
        return Found(splits, classes, skipped)
    ((split, single),) = splits.items()
    plain = tables[split].with_format(None)
    cells = split_cells(plain.features, columns[split], lambda name: plain.select_columns([name])[name][:])
    parts, notes = by_columns(single, cells, split, spec)
    return Found(parts, classes, skipped, notes=tuple(notes))


def split_cells(features: Any, columns: Columns, read: Callable[[str], Iterable[Any]]) -> dict[str, list[str]]:
    """The text of the columns that may say what split a row is of, whose values `read` gives; numbers of named classes
    by their names."""
    found = {}
    for name in features or ():
        if is_split_column(name) and name not in (columns.image, columns.label):
            words = getattr(features[name], "names", None)
            found[name] = [as_text(words[value] if words and value is not None else value) for value in read(name)]
    return found


def translate(labels: Labels, names: tuple[str, ...], classes: tuple[str, ...]) -> Labels:
    """Positions in `names` as positions in `classes`, the same names in any order."""
    if names == classes or not len(labels):
        return labels
    return label_indices([names[label] for label in labels], classes, "labels")


def undecoded(table: Any, columns: Columns) -> Any:
    """The table, memory-mapped or streamed, with its images left as {bytes, path}."""
    feature = import_datasets().Image
    table = table.with_format(None).select_columns(list(dict.fromkeys((columns.image, columns.label))))
    if isinstance(table.features[columns.image], feature):
        table = table.cast_column(columns.image, feature(decode=False))
    return table


def find_columns(features: Any, label_column: str, where: str) -> Columns:
    """The columns of images and labels by their types, as `read_hub` says. Raises DataError."""
    package, features = import_datasets(), dict(features or {})

    def holds_images(feature: Any) -> bool:
        return isinstance(feature, package.Image) or (isinstance(feature, dict) and "bytes" in feature)

    images = [name for name, feature in features.items() if holds_images(feature)]
    if not images:
        raise DataError(f"{where}: no column of images, only {', '.join(features) or 'no column'}", hint=_LAYOUT)
    declared = [name for name, feature in features.items() if isinstance(feature, package.ClassLabel)]
    objects = [name for name in ("json", "jsn") if name in features]
    if label_column in features and label_column not in images:
        label, field = label_column, None
    elif len(declared) == 1:
        label, field = declared[0], None
    elif not declared and "cls" in features:
        label, field = "cls", None
    elif not declared and objects and label_column in _keys(features[objects[0]]):
        label, field = objects[0], label_column
    else:
        raise DataError(f"{where}: no column {label_column!r}, only {', '.join(features):.200}", hint=_LAYOUT)
    feature = features[label]
    names = tuple(map(str, feature.names)) if isinstance(feature, package.ClassLabel) else None
    return Columns(images[0], label, field, names)


def _keys(feature: Any) -> tuple[str, ...]:
    return tuple(feature) if isinstance(feature, dict) else ()


def common_classes(columns: Mapping[str, Columns], where: str) -> tuple[str, ...] | None:
    """The class names that the splits declare, None where none does. Raises DataError where they differ."""
    declared = [found.names for found in columns.values() if found.names is not None]
    if not declared:
        return None
    if any(set(names) != set(declared[0]) for names in declared) or len(set(declared[0])) < len(declared[0]):
        raise DataError(
            f"{where}: the splits name different classes", hint="they must have the same classes, each once"
        )
    return declared[0]


def standard_splits(loaded: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Tables by the names of `split_names.SPLITS`, "all" for a single one of another name, and the names left out."""
    found: dict[str, Any] = {}
    skipped = []
    for name, table in loaded.items():
        standard = SPLITS.get(str(name).lower())
        if standard is None:
            skipped.append(str(name))
        elif standard in found:
            raise DataError(f"{where}: two splits mean {standard}: {', '.join(loaded)}", hint="keep one of them")
        else:
            found[standard] = table
    if not found and len(loaded) == 1:
        return {"all": next(iter(loaded.values()))}, ()
    if not found:
        raise DataError(f"{where}: splits {', '.join(loaded)}: which is which?", hint="name them train and test")
    return found, tuple(skipped)
