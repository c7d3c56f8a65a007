"""convscale runs"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table, print_text
from convscale.report.runs import local_time
from convscale.report.tables import Column, Table, interval, text_column
from convscale.runs import RunRow, list_runs
from convscale.units import format_count, format_seconds

FOLDER = "runs"


@click.command()
@click.argument("folder", metavar="[DIR]", default=FOLDER, type=click.Path(path_type=Path))
@click.option("--all", "attempts", is_flag=True, help="Include the trials of studies and the trainings of searches.")
@json_option
def command(folder: Path, attempts: bool, as_json: bool) -> None:
    """List the runs in DIR (default: runs) and below: what they are, their state, their accuracy."""
    rows = [] if str(folder) == FOLDER and not folder.exists() else list_runs(folder, attempts=attempts)
    if as_json:
        print_json(runs=rows)
    elif rows:
        _print(rows)
    else:
        print(f"no runs in {folder}")


def _print(rows: list[RunRow]) -> None:
    columns = (
        text_column("run", wrap=True), text_column("data", wrap=True), text_column("network", wrap=True),
        text_column("budget", detail=1, wrap=True), Column("MACs", format_count),
        Column("params", format_count, detail=1), Column("top-1", "{:.4f}".format),
        Column("95 %", interval, detail=1), text_column("state"),
        text_column("started", local_time, detail=2), Column("time", format_seconds, detail=2),
    )  # fmt: skip
    cells = [
        (
            row.path, Path(row.data or "").name, row.network, _limits(row), row.macs, row.params, row.top1,
            row.interval95, row.state, row.started, row.seconds,
        )
        for row in rows
    ]  # fmt: skip
    print_table(Table(columns, cells))
    for row in rows:
        if row.reason:
            print_text(f"{row.path}: {row.state}: {row.reason}")


def _limits(row: RunRow) -> str:
    from convscale.planning import format_limit

    return ", ".join(f"{key} {format_limit(key, value)}" for key, value in (row.budget or {}).items())
