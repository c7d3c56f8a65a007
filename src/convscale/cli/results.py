"""convscale study report and export: what a study has found so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table, print_text, require_writable

if TYPE_CHECKING:
    from convscale.records import StudyResult

FOLDER = click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")


@click.command()
@FOLDER
@json_option
def report(folder: Path, as_json: bool) -> None:
    """Write and show the report of a study from the trials that have ended so far; safe while it runs."""
    from convscale.studies.running import report_study

    print_result(report_study(folder), folder, as_json)


def print_result(result: StudyResult, folder: Path, as_json: bool) -> None:
    """The rows and the conclusions of a study, and where its report is."""
    if as_json:
        print_json(result)
        return
    from convscale.report.findings import conclusions, missing
    from convscale.report.studies import row_table
    from convscale.report.unfinished import unfinished

    for epochs in result.spec.lengths:
        print_table(row_table(result, epochs))
    print_text(*missing(result), *unfinished(result), *conclusions(result))
    print(f"report  {folder / 'report.md'}")


@click.command()
@FOLDER
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write one row per trial: .csv, .parquet, .jsonl or .json.",
)
@click.option(
    "--records",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add the finished trials to FILE, which --records of other studies takes them from.",
)
@json_option
def export(folder: Path, output: Path | None, records: Path | None, as_json: bool) -> None:
    """Export the trials, finished so far or not: as rows of a table, or as records that travel to other machines."""
    if output is None and records is None and not as_json:
        raise click.UsageError("name a file with -o or --records, or add --json")
    require_writable(output)
    require_writable(records, "--records")
    from convscale.studies.trial_rows import require_suffix, trial_rows, write_rows
    from convscale.trials.taking import export_finished
    from convscale.units import format_number

    if output is not None:
        require_suffix(output)
    rows = trial_rows(folder)
    if output is not None:
        write_rows(rows, output)
        click.echo(f"wrote {output}: {format_number(len(rows), 'trial')}", err=True)
    if records is not None:
        count, lines = export_finished(folder, records)
        others = f", beside {lines - count:,} of other studies" * (lines > count)
        click.echo(f"wrote {records}: {format_number(count, 'finished trial')}{others}", err=True)
    if as_json:
        print_json(trials=rows)
