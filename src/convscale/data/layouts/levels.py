"""What the folders of the first level are: splits, by their names and contents, or classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from convscale.data.image_files import holds_image, scan, subfolders
from convscale.data.layouts.found import Layout
from convscale.data.split_names import SplitName, split_name
from convscale.errors import DataError

SHOWN = 8


@dataclass(frozen=True, slots=True)
class Level:
    """The folders of one level that hold images: those whose names may mean splits, and the class folders in these."""

    path: Path
    folders: list[Path]
    named: dict[Path, SplitName]
    classes: dict[Path, set[str]]
    splits: dict[str, list[Path]] = field(default_factory=dict)  # those of `named` that hold class folders

    @property
    def all_named(self) -> bool:
        return len(self.named) == len(self.folders)

    @property
    def agrees(self) -> bool:
        """Whether there are several splits, and each holds a class folder that train does, or the first without it."""
        base = self.splits.get("train") or next(iter(self.splits.values()))
        known = {name for folder in base for name in self.classes[folder]}
        return len(self.splits) > 1 and all(
            self.classes[f] & known for folders in self.splits.values() for f in folders
        )

    @property
    def may_be_splits(self) -> bool:
        """Whether someone could mean splits at all: a folder of a plain name, or all named alike but for the split."""
        alike = self.all_named and len({name.rest for name in self.named.values()}) == 1
        several = len({name.split for name in self.named.values()}) > 1
        return any(name.plain for name in self.named.values()) or (alike and several)


def image_folders(path: Path) -> list[Path]:
    """The folders in a folder that hold images."""
    return [folder for folder in subfolders(path) if holds_image(folder)]


def find_splits(path: Path, layout: Layout | None) -> dict[str, list[Path]]:
    """The folders of each split, nothing where the folders are classes.

    Raises DataError where they could be either and `layout` does not say.
    """
    if layout == "classes":
        return {}
    level = _look(path)
    if layout == "splits":
        if not level.splits:
            raise _no_splits(level)
        return level.splits
    if not level.named:
        return _require_classes(level)
    if level.splits and _clear(level):
        return level.splits
    if level.may_be_splits or (level.splits and level.agrees):
        raise _either(level)
    return _require_classes(level)


def _look(path: Path) -> Level:
    folders = image_folders(path)
    named = {folder: name for folder in folders if (name := split_name(folder.name))}
    classes = {folder: {normalize("NFC", sub.name) for sub in image_folders(folder)} for folder in named}
    splits: dict[str, list[Path]] = {}
    for folder, name in named.items():
        if classes[folder]:
            splits.setdefault(name.split, []).append(folder)
    return Level(path, folders, named, classes, splits)


def _clear(level: Level) -> bool:
    """Whether the folders can only be splits."""
    held = [folder for folders in level.splits.values() for folder in folders]
    if len(held) > len(level.splits):
        return False  # two that mean the same
    if level.all_named and level.agrees:
        return True
    plain = all(level.named[folder].plain for folder in held)
    if len(level.splits) > 1:
        return plain and level.agrees
    return plain and level.all_named and len(level.classes[held[0]]) > 1


def _require_classes(level: Level) -> dict[str, list[Path]]:
    """No splits, unless each class holds some of its own."""
    inner = [{split_name(sub.name) for sub in image_folders(folder)} for folder in level.folders]
    found = {name.split for names in inner for name in names if name is not None and name.plain}
    if len(level.folders) > 1 and len(found) > 1 and all(names and None not in names for names in inner):
        raise DataError(
            f"{level.path}: each of {_listed(folder.name for folder in level.folders)} holds folders named like splits",
            hint="move them above the classes, as train/CLASS and test/CLASS; --layout classes reads them as one set",
        )
    held = [{sub.name for sub in image_folders(folder)} for folder in level.folders]
    if len(held) > 1 and len(held[0]) > 1 and all(names == held[0] for names in held):
        raise DataError(
            f"{level.path}: each of {_listed(folder.name for folder in level.folders)} holds the same folders, "
            f"{_listed(sorted(held[0]))}: these may be the classes, and those above them splits of other names",
            hint="rename splits to train, validation, test; --layout classes reads the upper folders as the classes",
        )
    return {}


def _either(level: Level) -> DataError:
    names = [folder.name for folder in level.folders]
    splits = {name.split for name in level.named.values()}
    meant = "; ".join(
        f"{split}: {_listed(folder.name for folder, name in level.named.items() if name.split == split)}"
        for split in ("train", "validation", "test")
        if split in splits
    )
    left = [name for name in names if name not in {folder.name for folder in level.named}]
    meant += "" if level.splits else " (images without labels, in no class folder)"
    meant += f"; not used: {_listed(left)}" if left else ""
    return DataError(
        f"{level.path}: folders that could be splits or classes. As splits, {meant}. As classes, {_listed(names)}",
        hint="choose --layout splits or --layout classes (layout= in Python)",
    )


def _no_splits(level: Level) -> DataError:
    if level.named:
        problem = (
            f"{_listed(folder.name for folder in level.named)}: no split has class folders, so no image has a label"
        )
    else:
        problem = "no folder is named like a split"
    return DataError(f"{level.path}: {problem}", hint="put images into train/CLASS and test/CLASS")


def splits_notes(path: Path, splits: Mapping[str, list[Path]], classes: Iterable[str], asked: bool) -> list[str]:
    """What was decided: folders joined, folders without labels, classes that are called as splits."""
    notes = [
        f"{split}: {' and '.join(folder.name for folder in folders)} together"
        for split, folders in splits.items()
        if len(folders) > 1
    ]
    used = {folder for folders in splits.values() for folder in folders}
    if splits:
        for folder in image_folders(path):
            if folder not in used and split_name(folder.name) and scan(folder, below=False).images:
                notes.append(f"{folder.name}: not used, its images have no label: they are in no class folder")
    called = [name for name in classes if (meant := split_name(name)) and meant.plain]
    if called and not asked:
        notes.append(f"read as {'a class' if len(called) == 1 else 'classes'}: {_listed(called)}")
    return notes


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN:,} more" * (len(names) > SHOWN)
