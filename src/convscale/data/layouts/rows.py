"""The rows of a CSV, with commas, semicolons or tabs, and what its columns say about splits."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from convscale.data.split_names import split_name
from convscale.errors import DataError

_SEPARATORS = ",;\t|"
_SPLIT_COLUMNS = frozenset({"split", "set", "subset", "partition", "fold", "dataset", "datasplit", "phase"})
_FLAGS = {
    "isvalid": ("validation", "train"), "isval": ("validation", "train"), "isvalidation": ("validation", "train"),
    "istest": ("test", "train"), "istrain": ("train", "test"), "istraining": ("train", "test"),
}  # fmt: skip
_TRUE, _FALSE = frozenset({"true", "1", "1.0", "yes", "t", "y"}), frozenset({"false", "0", "0.0", "no", "f", "n"})


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV: its columns, and its rows with their lines in the file; those of empty cells alone are left out."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]

    def require_labels(self, column: str) -> None:
        """Raise DataError unless there is one column of this name, and at least one row."""
        if self.columns.count(column) != 1:
            found = f"{self.columns.count(column)} columns" if column in self.columns else "no column"
            raise DataError(
                f"{self.path}: {found} {column!r} among {', '.join(self.columns):.200}",
                hint="the first line names the columns; pick one with --label-column; --layout reads folders instead",
            )
        if not self.rows:
            raise DataError(f"{self.path}: no row", hint="one line per image, after the line of column names")


class ColumnSplits(NamedTuple):
    """The split of each row, None for a row of no split, and notes."""

    splits: list[str | None]
    notes: list[str]


def open_table(path: Path) -> Table:
    """Read a CSV. Raises DataError for a file that is not CSV."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_SEPARATORS, key=lambda mark: len(_cells(header, mark))))
            columns = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, _row(columns, cells)) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: not readable as CSV: {error}") from None
    return Table(path, columns, rows)


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _row(columns: list[str], cells: list[str]) -> dict[str, str]:
    padded = cells + [""] * (len(columns) - len(cells))
    return {name: cell.strip() for name, cell in zip(columns, padded, strict=False)}


def column_splits(table: Table, others: tuple[str, ...], otherwise: str) -> ColumnSplits:
    """The split of each row by the columns that say it, `otherwise` where none does; `others` are not among them."""
    candidates = {name: re.sub(r"[\W_]+", "", name.casefold()) for name in table.columns if name not in others}
    flags = [(name, *_FLAGS[key]) for name, key in candidates.items() if key in _FLAGS]
    flags = [flag for flag in flags if {row[flag[0]].casefold() for _, row in table.rows} <= _TRUE | _FALSE]
    notes: list[str] = []
    for name in (name for name, key in candidates.items() if key in _SPLIT_COLUMNS):
        meant = {row[name]: split.split for _, row in table.rows if (split := split_name(row[name])) is not None}
        if "train" in meant.values() or set(meant.values()) == {"test"}:
            return ColumnSplits([meant.get(row[name]) for _, row in table.rows], [*notes, *_said(table, name, meant)])
        values = ", ".join(sorted({row[name] for _, row in table.rows})[:5])
        notes.append(f"{table.path.name}: column {name!r} not used: it names no train split, only {values:.100}")
    if not flags:
        return ColumnSplits([otherwise] * len(table.rows), notes)
    splits = [next(_flagged(flags, row)) for _, row in table.rows]
    named = " and ".join(repr(flag[0]) for flag in flags)
    return ColumnSplits(list(splits), [*notes, f"{table.path.name}: splits by column {named}"])


def _flagged(flags: list[tuple[str, str, str]], row: dict[str, str]) -> Iterator[str]:
    """What a row's flags say: the split that one raises, else the one that is left."""
    for name, raised, _ in flags:
        if row[name].casefold() in _TRUE:
            yield raised
    yield flags[0][2]


def _said(table: Table, column: str, meant: dict[str, str]) -> Iterator[str]:
    yield f"{table.path.name}: splits by column {column!r}"
    for split in sorted(set(meant.values())):
        values = sorted({value for value, meaning in meant.items() if meaning == split})
        if len(values) > 1:
            yield f"{split}: {' and '.join(values)} together"
