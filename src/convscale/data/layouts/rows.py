"""The rows of a CSV, with commas, semicolons or tabs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from convscale.errors import DataError

_SEPARATORS = ",;\t|"


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

    def cells(self, *others: str) -> dict[str, list[str]]:
        """The text of each row by column, for all but the `others`."""
        return {name: [row[name] for _, row in self.rows] for name in self.columns if name not in others}


def open_table(path: Path) -> Table:
    """Read a CSV. Raises DataError for a file that is not CSV."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_SEPARATORS, key=lambda mark: len(_cells(header, mark))))
            columns = [name.strip() for name in next(reader, [])]
            rows = [
                (reader.line_num, _row(columns, cells, f"{path}, line {reader.line_num}"))
                for cells in reader if any(map(str.strip, cells))
            ]  # fmt: skip
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: not readable as CSV: {error}") from None
    return Table(path, columns, rows)


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _row(columns: list[str], cells: list[str], where: str) -> dict[str, str]:
    """The cells by column. Raises DataError for cells beyond the last one."""
    if beyond := [cell.strip() for cell in cells[len(columns) :] if cell.strip()]:
        raise DataError(
            f"{where}: {len(cells)} cells, the first line names {len(columns)} columns; beyond them "
            f"{', '.join(beyond):.100}",
            hint="put a cell that holds the separator into double quotes",
        )
    padded = cells + [""] * (len(columns) - len(cells))
    return {name: cell.strip() for name, cell in zip(columns, padded, strict=False)}
