"""The trials of a study as rows of a table, one per trial, with the place that each has in the study."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError, InputError
from convscale.files import write_atomic, write_json, write_text
from convscale.flattening import flat
from convscale.progress import print_note
from convscale.report.tables import Column, Table, as_csv
from convscale.studies.designs import Point
from convscale.studies.kept_design import read_design
from convscale.studies.running import KIND, kind_of, read_spec
from convscale.trials.folders import StudyFolder
from convscale.trials.status import TrialState, study_status

COLUMNS = (
    "number", "key", "baseline", "method", "asked", "cost", "network", "macs", "params", "resolution", "seed", "epochs",
    "epoch", "steps", "images", "state", "accuracy", "low", "high", "learning_rate", "device", "precision",
    "device_seconds", "attempts", "taken_from", "reason", "seconds_left",
)  # fmt: skip
SUFFIXES = (".csv", ".parquet", ".jsonl", ".json")


def trial_rows(folder: str | Path) -> list[dict[str, Any]]:
    """The trials of the study, search or family in `folder`, finished or not; reads only.

    baseline, method, asked (the cost planned for) and cost (MACs), both times the baseline's, are None of trials that
    are no row of a study; a network that serves several methods names them all. accuracy: of a trial that is not
    finished, the last epoch's. Raises RunError where there is no study.
    """
    places = _places(Path(folder))
    return [_row(state, places.get(state.number, ())) for state in study_status(folder)]


def _row(state: TrialState, points: Sequence[Point]) -> dict[str, Any]:
    row = flat(state)
    low, high = row.pop("interval95") or (None, None)
    place = {
        "baseline": _names(point.baseline for point in points),
        "method": _names(point.method for point in points),
        "asked": points[0].asked if points else None,
        "cost": points[0].cost_ratio if points else None,
    }
    row |= place | {"low": low, "high": high}
    return {name: row[name] for name in COLUMNS}


def _names(names: Iterable[str]) -> str | None:
    return "; ".join(dict.fromkeys(names)) or None


def _places(folder: Path) -> Mapping[int, Sequence[Point]]:
    """The points of a study that each trial stands for, by its number."""
    if not (folder / "settings.json").exists() or kind_of(folder) != KIND:
        return {}
    try:
        _, numbers = read_design(StudyFolder(folder), read_spec(folder))
    except InputError as error:
        print_note(f"{folder}: methods and costs are unknown: {error}")
        return {}
    places: dict[int, list[Point]] = {}
    for (point, _, _), number in numbers.items():
        places.setdefault(number, []).append(point)
    return places


def require_suffix(path: Path) -> None:
    """Raise ConfigError for a name whose ending is none of SUFFIXES."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: this kind of file cannot be written", hint=f"name it {', '.join(SUFFIXES)}")


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, parquet, JSON lines or one JSON list, by the name's ending. Raises as `require_suffix`."""
    require_suffix(path)
    match path.suffix.lower():
        case ".json":
            write_json(path, list(rows))
        case ".jsonl":
            write_text(path, "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows))
        case ".parquet":
            import pyarrow
            import pyarrow.parquet

            table = BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), table)
            write_atomic(path, lambda file: file.write(table.getvalue()))
        case _:
            columns = [Column(key) for key in (rows[0] if rows else ())]
            write_text(path, as_csv(Table(columns, [list(row.values()) for row in rows])))
