"""What commands print and write."""

from __future__ import annotations

import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convscale import terminal
from convscale.flattening import flat
from convscale.machine import speaks
from convscale.networks import ConvNet
from convscale.progress import print_note
from convscale.records import TrainedRun
from convscale.units import printable

if TYPE_CHECKING:
    from convscale.costs import Cost
    from convscale.data import Dataset
    from convscale.data.check import DataCheck
    from convscale.records import Evaluation
    from convscale.report.tables import Table
    from convscale.runs import Run


def require_writable(file: Path | None, option: str = "-o") -> None:
    """Raise click.UsageError where an option names a place in which no file can be written."""
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise click.UsageError(f"{option} {file}: no file can be written there")


def write_output(network: ConvNet, output: Path | None) -> None:
    """Write the network where -o says; say so on stderr."""
    require_writable(output)
    if output is not None:
        from convscale.catalog import write_network

        write_network(network, output)
        print(f"wrote {output}", file=sys.stderr)


def typed_command() -> str:
    """The command as it was typed: its arguments, nothing of the environment."""
    return shlex.join(("convscale", *(click.get_current_context().find_root().obj or ())))


def print_json(record: Any = None, /, **values: Any) -> None:
    """A record, its keys and then `values`, as one JSON object on stdout."""
    table = ({} if record is None else flat(record)) | flat(values)
    print(json.dumps(table, allow_nan=False, ensure_ascii=False))


def print_notes(data: Dataset | DataCheck) -> None:
    """What of the data is not used, and what else there is to say about it, on stderr."""
    from convscale.data.notes import data_notes

    for note in data_notes(data):
        print_note(printable(note))


def print_table(table: Table) -> None:
    """Print a table on stdout, fitted to the terminal, or as wide as it needs where stdout is none."""
    from convscale.report.tables import terminal_lines

    bold = partial(terminal.styled, style="bold", stream=sys.stdout)
    print(*terminal_lines(table, terminal.width(sys.stdout), bold), sep="\n")


def print_text(*lines: str) -> None:
    """Lines on stdout, broken between words where that is a terminal."""
    width = terminal.width(sys.stdout)
    for line in lines:
        print(terminal.fitted(line, width))


def print_training(run: Run, evaluation: Evaluation, as_json: bool) -> None:
    """How a training ended."""
    if not speaks():
        return
    record = run.result()
    if as_json:
        print_json(TrainedRun(str(run.path), record, evaluation))
        return
    data = run.data()
    print_text(f"{evaluation.in_words(data.metric if data else 'top1')} on {evaluation.n:,} images; {run.path}")


def print_cost(cost: Cost) -> None:
    """A network's costs, one per line."""
    from convscale.report.networks import cost_table

    print_table(cost_table(cost))
