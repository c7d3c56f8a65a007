"""convscale runs"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import json_option, print_json, print_table
from convscale.report.runs import local_time
from convscale.runs import RunRow, list_runs
from convscale.units import format_count, format_seconds

FOLDER = "runs"


@click.command()
@click.argument("folder", metavar="[DIR]", default=FOLDER, type=click.Path(path_type=Path))
@click.option("--all", "attempts", is_flag=True, help="Also the trials of studies and the trainings of searches.")
@json_option
def command(folder: Path, attempts: bool, as_json: bool) -> None:
    """The runs in DIR (runs) and below: what they are, how they stand, how good they came out."""
    rows = [] if str(folder) == FOLDER and not folder.exists() else list_runs(folder, attempts=attempts)
    if as_json:
        print_json({"runs": [row.as_dict() for row in rows]})
    elif rows:
        _print(rows)
    else:
        print(f"no runs in {folder}")


def _print(rows: list[RunRow]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for heading in ("run", "data", "network", "budget", "MACs", "params", "top-1", "95 %", "state", "started", "time"):
        figure = heading in ("MACs", "params", "top-1", "95 %", "time")
        table.add_column(heading, justify="right" if figure else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    print_table(table)
    for row in rows:
        if row.reason:
            print(f"{row.path}: {row.state}: {row.reason}")


def _cells(row: RunRow) -> tuple[str, ...]:
    from convscale.planning import format_limit

    limits = ", ".join(f"{key} {format_limit(key, value)}" for key, value in (row.budget or {}).items())
    return (
        row.path, Path(row.data or "").name, row.network or "", limits,
        "" if row.macs is None else format_count(row.macs), "" if row.params is None else format_count(row.params),
        "" if row.top1 is None else f"{row.top1:.4f}",
        "" if row.interval95 is None else "{:.3f} to {:.3f}".format(*row.interval95),
        row.state, local_time(row.started), "" if row.seconds is None else format_seconds(row.seconds),
    )  # fmt: skip
