"""A folder with one subfolder per class, directly or below folders of splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from convscale.data.image_files import (
    count_kinds,
    describe_unused,
    holds_image,
    is_hidden,
    is_image_file,
    scan,
    subfolders,
)
from convscale.data.images import FileImages, ImageCollection
from convscale.data.labels import Used, one_spelling
from convscale.data.layouts.found import Found, Layout
from convscale.data.layouts.levels import find_splits, image_folders, splits_notes
from convscale.data.split_names import split_name
from convscale.errors import DataError

DATA_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
_Others = list[tuple[str, Path]]


def read_folders(path: Path, used: Used, layout: Layout | None) -> Found:
    """One subfolder per class, directly or below folders of splits.

    Raises DataError where there is no class, and where folders could be splits or classes.
    """
    splits = find_splits(path, layout)
    splits = {name: folders for name, folders in splits.items() if name in used(splits)}
    roots = splits or {"all": [path]}
    named = {name: [f for root in folders for f in image_folders(root)] for name, folders in roots.items()}
    first = sorted(f.name for f in named.get("train", next(iter(named.values()))))
    spelled = one_spelling([*first, *(f.name for folders in named.values() for f in folders)])
    classes = tuple(sorted({spelled[name] for name in first}))
    if not classes:
        inside = scan(path)
        there = "; ".join(describe_unused(count_kinds(inside.others)))
        loose = " in a class folder, but images without labels" if inside.images else there and f", but {there}"
        raise DataError(
            f"{path}: no image found{loose}",
            hint="put images into one subfolder per class, or beside a CSV of file names and labels",
        )
    found: dict[str, ImageCollection] = {}
    others: _Others = []
    for name, folders in named.items():
        if unknown := {spelled[f.name] for f in folders} - set(classes):
            where = ", ".join(str(root) for root in roots[name])
            raise DataError(
                f"{where}: class folders that train does not have: {', '.join(sorted(unknown))}",
                hint="a class needs images in train; spell its name the same way there",
            )
        found[name] = _read_classes(folders, classes, spelled, others)
    roots_read = [root for folders in roots.values() for root in folders]
    for root in roots_read:
        others += _beside(root, classes)
    skipped = [f for f in image_folders(path) if f not in roots_read] if splits else []
    if splits:
        others += _beside(path, ())
        for folder in skipped:
            inside = scan(folder)
            others += [("image of no split", image) for image in inside.images] + inside.others
    notes = splits_notes(path, splits, classes, layout is not None)
    return Found(found, classes, tuple(f.name for f in skipped), count_kinds(others), tuple(notes))


def _read_classes(
    folders: list[Path], classes: tuple[str, ...], spelled: Mapping[str, str], others: _Others
) -> FileImages:
    """The images of class folders in the order of the classes; what is no image joins `others`."""
    paths: list[Path] = []
    labels: list[int] = []
    by_name: dict[str, list[Path]] = {}
    for folder in folders:
        by_name.setdefault(spelled[folder.name], []).append(folder)
    for label, class_name in enumerate(classes):
        for folder in by_name.get(class_name, ()):
            inside = scan(folder)
            paths += inside.images
            labels += [label] * len(inside.images)
            others += inside.others
    return FileImages(paths, np.array(labels, dtype=np.int64))


def _beside(root: Path, classes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """What lies beside class folders: files, and folders without an image."""
    loose = scan(root, below=False)
    yield from (("image without a label", image) for image in loose.images)
    yield from loose.others
    for folder in subfolders(root):
        if not holds_image(folder):
            yield from scan(folder).others
            if folder.name not in classes:
                yield "folder without an image", folder


def data_folder(path: Path, layout: Layout | None) -> Path:
    """The folder that holds the data: an unpacked archive may have put it a level deeper."""
    if layout == "classes" or any(map(_may_be_data, _files(path))):
        return path
    holding = list(islice(filter(_holds_data, subfolders(path)), 2))
    if len(holding) != 1:
        return path
    inner = data_folder(holding[0], layout)
    return inner if inner != holding[0] or _is_data_set(inner) else path


def _files(folder: Path) -> Iterator[Path]:
    return (item for item in folder.iterdir() if item.is_file() and not is_hidden(item.name))


def _may_be_data(file: Path) -> bool:
    return file.suffix.lower() in DATA_SUFFIXES or is_image_file(file)


def _holds_data(folder: Path) -> bool:
    return holds_image(folder, or_suffixes=DATA_SUFFIXES)


def _is_data_set(folder: Path) -> bool:
    """Whether a folder holds several classes or splits rather than being one itself."""
    if any(file.suffix.lower() in DATA_SUFFIXES for file in _files(folder)):
        return True
    inner = image_folders(folder)
    if len(inner) < 2 or any(map(is_image_file, _files(folder))):
        return False
    return split_name(folder.name) is None or sum(split_name(sub.name) is not None for sub in inner) > 1
