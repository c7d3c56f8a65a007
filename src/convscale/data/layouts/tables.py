"""Images beside tables (CSV) of file names and labels: one for all, with or without splits, or one per split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from convscale.data.image_files import count_kinds, is_hidden, scan
from convscale.data.images import FileImages, ImageCollection
from convscale.data.labels import Used, derive_classes, label_indices
from convscale.data.layouts.found import Found
from convscale.data.layouts.levels import image_folders
from convscale.data.layouts.locating import Images
from convscale.data.layouts.rows import Table, open_table
from convscale.data.split_columns import column_splits
from convscale.data.split_names import split_name
from convscale.errors import DataError

_LOOKED_AT = 20  # rows, to find the column of file names
_RELATIVE = "paths are relative to the CSV; --layout reads class folders instead"


def find_tables(folder: Path) -> list[Path]:
    """The CSV files in a folder."""
    return sorted(
        item for item in folder.iterdir()
        if item.suffix.lower() in (".csv", ".tsv") and item.is_file() and not is_hidden(item.name)
    )  # fmt: skip


@dataclass(slots=True)
class _Labels:
    """What tables say: label and split of each image, in the order of the rows."""

    notes: list[str]
    labels: dict[Path, str] = field(default_factory=dict)
    splits: dict[Path, str] = field(default_factory=dict)
    named: dict[Path, str] = field(default_factory=dict)  # as the row writes it
    left_out: list[tuple[str, Path | str]] = field(default_factory=list)


def read_tables(folder: Path, paths: list[Path], label_column: str, used: Used) -> Found | tuple[str, ...]:
    """Images in `folder` and below, named in a column of the tables; labels beside them. If no table names an image or
    has labels, and there are class folders, returns only notes that say so.

    Raises DataError for tables that cannot be used.
    """
    inside = scan(folder)
    images = Images(inside.images, folder)
    columns: dict[Path, str] = {}
    tables: dict[Path, Table] = {}
    problems: dict[Path, DataError] = {}
    for path in paths:
        try:
            tables[path] = open_table(path)
            columns[path] = _image_column(tables[path], label_column, images)
            tables[path].require_labels(label_column)
        except DataError as error:
            problems[path] = error
    elsewhere = len(tables) == len(paths) and not any(label_column in table.columns for table in tables.values())
    if not columns and elsewhere and _holds_classes(folder):
        return tuple(f"{path.name}: not used, no column names an image or is {label_column!r}" for path in paths)
    usable = _usable(folder, paths, problems)
    why = {path: error.message.removeprefix(f"{path}: ") for path, error in problems.items()}
    read = _Labels([f"{p.name}: not used, {why.get(p, 'not named like a split')}" for p in paths if p not in usable])
    for path, split in usable.items():
        _read(tables[path], columns[path], label_column, split, images, read)
    if set(read.splits.values()) == {"all"}:
        _split_by_folders(folder, read)
    others = [("image without a label", image) for image in inside.images if image not in read.labels]
    others += [(kind, path) for kind, path in inside.others if path not in usable]
    where = f"{', '.join(map(str, usable))}, column {label_column!r}"
    return _found(read, where, used)._replace(not_used=count_kinds([*read.left_out, *others]))


def _holds_classes(folder: Path) -> bool:
    """Whether a folder could be read without tables."""
    folders = image_folders(folder)
    return len(folders) > 1 or any(split_name(each.name) for each in folders)


def _usable(folder: Path, paths: list[Path], problems: dict[Path, DataError]) -> dict[Path, str]:
    """The tables to read, each with its split ("all" for one that is called otherwise)."""
    good = [path for path in paths if path not in problems]
    roles = {path: name.split for path in paths if (name := split_name(path.stem)) is not None and name.plain}
    for path in paths:
        if path in problems and (len(paths) == 1 or roles.get(path) == "train"):
            raise problems[path]
    if len(good) == 1 and (len(paths) == 1 or roles.get(good[0], "train") == "train"):
        return {good[0]: "all"}
    chosen = {path: roles[path] for path in good if path in roles}
    splits = set(chosen.values())
    if not chosen or len(splits) < len(chosen) or ("train" not in splits and len(good) > len(chosen)):
        names = ", ".join(path.name for path in paths)
        reasons = "".join(f"; {error.message}" for error in problems.values())
        raise DataError(
            f"{folder}: {len(paths)} CSV files ({names}){reasons}",
            hint="keep one, with file names and labels, or name them train.csv, validation.csv and test.csv",
        )
    return chosen


def _image_column(table: Table, label_column: str, images: Images) -> str:
    """The column that names the most images in the first rows."""
    points = {
        column: sum(images.locate(row[column]).points for _, row in table.rows[:_LOOKED_AT])
        for column in table.columns
        if column != label_column
    }
    best = max(points, key=points.__getitem__, default="")
    if not points.get(best):
        table.require_labels(label_column)
        raise DataError(f"{table.path}: no column names an image in {images.folder}", hint=_RELATIVE)
    return best


def _read(table: Table, column: str, label_column: str, split: str, images: Images, read: _Labels) -> None:
    """Add the rows of a table. Raises DataError naming the line that is wrong."""
    by_column = column_splits(table.cells(label_column, column), len(table.rows), split, table.path.name)
    read.notes += by_column.notes
    for (line, row), part in zip(table.rows, by_column.splits, strict=True):
        text, where = row[column], f"{table.path}, line {line}"
        if part is None:
            read.left_out.append(("row of no split", text))
            continue
        found = images.locate(text)
        if len(found.images) != 1:
            problem = "several images are called" if found.images else "no such image"
            raise DataError(f"{where}: {problem} {text!r:.200}", hint=_RELATIVE)
        image = found.images[0]
        if read.labels.setdefault(image, row[label_column]) != row[label_column]:
            raise DataError(f"{where}: {text!r} has two labels", hint="an image has one label")
        if read.splits.setdefault(image, part) != part:
            raise DataError(f"{where}: {text!r} is in two splits", hint="an image belongs to one split")
        if read.named.setdefault(image, text) != text and not found.sure:
            raise DataError(f"{where}: {text!r} and {read.named[image]!r} mean the same image: {image}", hint=_RELATIVE)


def _split_by_folders(folder: Path, read: _Labels) -> None:
    """Split as the folders of the first level say, where all images lie in some that are called as splits."""
    roles: dict[Path, str] = {}
    for image in read.labels:
        parts = image.relative_to(folder).parts if image.is_relative_to(folder) else ()
        name = split_name(parts[0]) if len(parts) > 1 else None
        if name is None or not name.plain:
            return
        roles[image] = name.split
    if len(set(roles.values())) > 1 and "train" in roles.values():
        read.splits.update(roles)
        read.notes.append(f"splits by the folders that the images are in: {', '.join(sorted(set(roles.values())))}")


def _found(read: _Labels, where: str, used: Used) -> Found:
    names = dict.fromkeys(read.splits.values())
    chosen = [name for name in names if name in used(names)]
    classes = derive_classes([read.labels[image] for image, part in read.splits.items() if part in chosen], where)
    splits: dict[str, ImageCollection] = {}
    for name in chosen:
        members = [image for image, part in read.splits.items() if part == name]
        splits[name] = FileImages(members, label_indices([read.labels[image] for image in members], classes, where))
    return Found(splits, classes, tuple(name for name in names if name not in chosen), notes=tuple(read.notes))
