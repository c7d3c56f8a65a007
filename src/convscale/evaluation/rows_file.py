"""Predictions as a file, one row per image: CSV, parquet or JSON lines, by its suffix."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from convscale.errors import ConfigError
from convscale.files import write_atomic

SUFFIXES = (".csv", ".parquet", ".jsonl")
_ALLOWED = ".csv, .parquet or .jsonl"


class RowsFile:
    """Collects batches of rows and writes them to `path`, whole or not at all.

    option: its name in messages. Raises ConfigError if the file cannot be written or its suffix is unknown.
    """

    def __init__(self, path: str | Path, option: str) -> None:
        self.path, self._batches = Path(path), list[Any]()
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise ConfigError(
                f"{option} {path}: no file can be written there", hint=f"name a {_ALLOWED} file in an existing folder"
            )
        if self.path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{option} {path}: this kind of file cannot be written", hint=f"name it {_ALLOWED}")

    def add(self, columns: Mapping[str, Any]) -> None:
        """A batch of rows: arrays of one length, pyarrow's or NumPy's, by name; the same names and types each time."""
        import pyarrow

        self._batches.append(pyarrow.record_batch(dict(columns)))

    def write(self) -> None:
        """Write the file; at least one batch must have been added."""
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_batches(self._batches)

        def write(file: BinaryIO) -> None:
            match self.path.suffix.lower():
                case ".parquet":
                    pyarrow.parquet.write_table(table, file)
                case ".csv":
                    file.write(_as_csv(table).encode())
                case _:
                    file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in _rows(table))

        write_atomic(self.path, write)


def as_utf8(name: str) -> str:
    """Bytes of a file's name that are not UTF-8 as backslash and number."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _as_csv(table: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, table.column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(table))
    return text.getvalue()


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches():
        for row in batch.to_pylist():
            yield {name: _shortest(value) for name, value in row.items()}


def _shortest(value: Any) -> Any:
    """A probability, float32, in as many digits as it has; None where it is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.9g}") if math.isfinite(value) else None
