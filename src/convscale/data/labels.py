"""Labels as found in data: class names derived from them, labels as positions."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from convscale.data.images import Labels
from convscale.errors import DataError

Used = Callable[[Collection[str]], Collection[str]]  # the splits to read of those found
_GROUPS = 5  # shown in a note


def one_spelling(names: Iterable[str]) -> dict[str, str]:
    """What each name is taken for: the first of those that are one text in Unicode, however its accents are stored
    (NFC or NFD, as file systems and programs differ)."""
    first: dict[str, str] = {}
    return {name: first.setdefault(unicodedata.normalize("NFC", name), name) for name in names}


def derive_classes(values: list[Any], where: str) -> tuple[str, ...]:
    """The distinct labels as names, in numeric order where all are numbers. Raises DataError for a label that is
    missing, negative, or neither text nor a whole number."""
    for row, value in enumerate(values):
        if value is None or value == "":
            raise DataError(f"{where}: row {row} has no label", hint="every image needs one")
        if not isinstance(value, str) and (type(value) is not int or value < 0):
            raise DataError(f"{where}: row {row} has label {value!r}", hint="text, or whole numbers from 0")
    names = {str(value) for value in values}
    if all(name.isdecimal() for name in names):
        if len({int(name) for name in names}) < len(names):
            raise DataError(f"{where}: the same number is written in two ways, as 1 and 01", hint="use one")
        return tuple(sorted(names, key=int))
    return tuple(sorted(set(one_spelling(sorted(names)).values())))


def label_indices(values: list[Any], classes: tuple[str, ...], where: str, *, indexed: bool = False) -> Labels:
    """Labels as positions in `classes`; `indexed` whole numbers are positions already.

    Raises DataError for a label outside them.
    """
    positions: dict[Any, int] = {name: index for index, name in enumerate(classes)}
    spelled = one_spelling([*classes, *(value for value in values if isinstance(value, str))])
    if indexed:
        positions |= {index: index for index in range(len(classes))}
    labels = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        position = positions.get(spelled.get(value, value) if indexed else spelled.get(str(value), str(value)))
        if position is None:
            raise DataError(
                f"{where}: row {row} has label {value!r}, out of range",
                hint=f"{len(classes)} classes are named: labels 0 to {len(classes) - 1}",
            )
        labels[row] = position
    return labels


def similar_names(classes: Iterable[str]) -> list[str]:
    """Notes on classes whose names differ only in case, blanks, hyphens and underscores."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[re.sub(r"[\s_-]+", "", name).casefold()].append(name)
    groups = [" and ".join(map(repr, names)) for key, names in alike.items() if key and len(names) > 1]
    if not groups:
        return []
    more = f", and {len(groups) - _GROUPS:,} more" if len(groups) > _GROUPS else ""
    return [f"classes of nearly the same name are kept apart: {'; '.join(groups[:_GROUPS])}{more}"]
