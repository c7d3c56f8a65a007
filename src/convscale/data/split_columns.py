"""What the columns of a table say about splits: names of splits, or flags such as `is_test`.

A cell without a value is read as "train", or as a flag that is not raised, only where every other value is plain; where
a column could be meant in two ways it is refused, since rows of a test split must not be trained on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from convscale.data.images import ImageCollection, Subset
from convscale.data.split_names import split_name
from convscale.errors import DataError

Cells = Mapping[str, Sequence[str]]  # column -> the text of each row

_SPLIT_COLUMNS = frozenset({"split", "set", "subset", "partition", "fold", "dataset", "datasplit", "phase"})
_FLAGS = {
    "isvalid": ("validation", "train"), "isval": ("validation", "train"), "isvalidation": ("validation", "train"),
    "istest": ("test", "train"), "istrain": ("train", "test"), "istraining": ("train", "test"),
}  # fmt: skip
_TRUE, _FALSE = frozenset({"true", "1", "1.0", "yes", "t", "y"}), frozenset({"false", "0", "0.0", "no", "f", "n"})
_BLANK = frozenset(
    {"", "nan", "none", "null", "nil", "na", "n/a", "<na>", "#n/a", "nat", "-", "--", "\u2013", "\u2014"}
)
_SHOWN = 5


class ColumnSplits(NamedTuple):
    """The split of each row, None for a row of no split, and notes."""

    splits: list[str | None]
    notes: list[str]


def is_split_column(name: str) -> bool:
    """Whether a column of this name may say which split a row belongs to."""
    return _key(name) in _SPLIT_COLUMNS or _key(name) in _FLAGS


def as_text(value: Any) -> str:
    """The text of a cell of a typed table, empty where it has no value."""
    return "" if value is None else str(value).strip()


def column_splits(cells: Cells, rows: int, otherwise: str, where: str) -> ColumnSplits:
    """The split of each row by the columns that say it, `otherwise` where none does.

    `where` names the table. Raises DataError where it is not clear which rows are for training.
    """
    notes: list[str] = []
    for name in cells:
        if _key(name) in _SPLIT_COLUMNS and (meant := _meanings(name, cells[name], otherwise, where)) is not None:
            return ColumnSplits([meant.get(value) for value in cells[name]], [*notes, *_said(name, meant, where)])
        if _key(name) in _SPLIT_COLUMNS:
            values = _listed(cells[name])
            notes.append(f"{where}: column {name!r} not used: it names no train split, only {values:.100}")
    flags = [name for name in cells if _key(name) in _FLAGS and _are_flags(name, cells[name], where, notes)]
    if not flags:
        return ColumnSplits([otherwise] * rows, notes)
    splits: list[str | None] = [_FLAGS[_key(flags[0])][1]] * rows
    for name in reversed(flags):  # the first that is raised decides
        raised = _FLAGS[_key(name)][0]
        splits = [
            raised if cell.casefold() in _TRUE else split for cell, split in zip(cells[name], splits, strict=True)
        ]
    return ColumnSplits(splits, [*notes, f"{where}: splits by column {' and '.join(map(repr, flags))}"])


def by_columns(
    images: ImageCollection, cells: Cells, split: str, where: str
) -> tuple[dict[str, ImageCollection], list[str]]:
    """`split`, the only one of a typed table, divided as its columns say, and notes. Raises as `column_splits`."""
    found = column_splits(cells, len(images), split, where)
    names = [name for name in dict.fromkeys(found.splits) if name is not None]
    left_out = found.splits.count(None)
    notes = [*found.notes, *([f"{where}: not used, rows of no split: {left_out:,}"] if left_out else [])]
    if names == [split] and not left_out:
        return {split: images}, notes
    places = {name: np.flatnonzero([part == name for part in found.splits]) for name in names}
    return {name: Subset(images, rows) for name, rows in places.items()}, notes


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _meanings(name: str, values: Sequence[str], otherwise: str, where: str) -> dict[str, str] | None:
    """The split that each value means; None where the column says nothing about them."""
    found = {value: named for value in dict.fromkeys(values) if (named := split_name(value)) is not None}
    meant = {value: named.split for value, named in found.items()}
    if "train" in meant.values() or not any(named.plain for named in found.values()):
        return meant if "train" in meant.values() else None
    rest = [value for value in dict.fromkeys(values) if value not in meant]
    if all(value.casefold() in _BLANK for value in rest):
        return meant | dict.fromkeys(rest, "train" if otherwise == "all" else otherwise)
    counts = Counter(values)
    named_rows = sum(counts[value] for value in meant)
    raise DataError(
        f"{where}: column {name!r}: {named_rows:,} rows are {' and '.join(sorted(set(meant.values())))}, and "
        f"{sum(counts[value] for value in rest):,} are of no known split: {_listed(rest):.100}",
        hint="write train in the rows to train on, or rename the column if it does not name splits",
    )


def _are_flags(name: str, values: Sequence[str], where: str, notes: list[str]) -> bool:
    """Whether a column says of each row whether it belongs to a split; a cell without a value says that it does not."""
    folded = {value.casefold() for value in values}
    others, blank = folded - _TRUE - _FALSE - _BLANK, folded & _BLANK
    if not folded & (_TRUE | _FALSE):
        if others:
            notes.append(f"{where}: column {name!r} not used: it is neither true nor false, but {_listed(others):.100}")
        return False
    if others or (blank and folded & _FALSE):
        unclear = [value for value in values if value.casefold() not in _TRUE | _FALSE]
        raise DataError(
            f"{where}: column {name!r}: {len(unclear):,} rows are neither true nor false: {_listed(unclear):.100}",
            hint="write 0 or 1 in every row, or rename the column if it does not name a split",
        )
    if blank:
        notes.append(
            f"{where}: column {name!r}: {_listed(v for v in values if v.casefold() in _BLANK)} is read as false"
        )
    return True


def _said(column: str, meant: Mapping[str, str], where: str) -> Iterable[str]:
    yield f"{where}: splits by column {column!r}"
    for split in sorted(set(meant.values())):
        values = sorted(value for value, meaning in meant.items() if meaning == split)
        unnamed = [value for value in values if split_name(value) is None]
        if unnamed:
            yield f"{where}: column {column!r}: {_listed(unnamed)} is read as {split}"
        if len(values) - len(unnamed) > 1:
            yield f"{split}: {' and '.join(value for value in values if value not in unnamed)} together"


def _listed(values: Iterable[str]) -> str:
    distinct = sorted(set(values))
    shown = ", ".join(value or "(empty)" for value in distinct[:_SHOWN])
    return shown + (", ..." if len(distinct) > _SHOWN else "")
