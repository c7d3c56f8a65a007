"""convscale eval"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import DATA_HELP, json_option, print_json, print_table, workers_option
from convscale.runs import Run, weights_file
from convscale.units import printable


@click.command("eval")
@click.argument("run")
@click.option("--data", required=True, help=DATA_HELP)
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Images at once.")
@workers_option
@click.option("--label-column", help="Column of labels in a CSV or parquet file [the run's, or label].")
@json_option
def command(run: str, data: str, batch: int, workers: int, label_column: str | None, as_json: bool) -> None:
    """Accuracy of RUN (a run folder or a weights file) on images: the test split where there is one.

    On the data that a run was trained on, only images that it held out count.
    """
    weights = weights_file(Path(run))
    if weights == Path(run):
        click.echo("note: a weights file does not know its training images; all that are found count", err=True)
    else:
        _note_other_data(Run(Path(run)), data)
    from convscale.evaluation import evaluate

    result = evaluate(run, data, batch=batch, workers=workers, label_column=label_column)
    if as_json:
        print_json(result.as_dict())
        return
    from rich.markup import escape
    from rich.table import Table

    low, high = result.interval95
    print(f"top-1 {result.top1:.4f} (95% interval {low:.4f} to {high:.4f}) on {result.n:,} images")
    print(f"top-5 {result.top5:.4f}")
    table = Table("class", box=None)
    for heading in ("images", "top-1"):
        table.add_column(heading, justify="right")
    for row in result.per_class:
        table.add_row(escape(printable(row.name)), str(row.n), "" if row.top1 is None else f"{row.top1:.4f}")
    print_table(table)


def _note_other_data(run: Run, data: str) -> None:
    """Say that images of the training may be among those of `data`, where they were drawn from one folder."""
    from convscale.data.dataset import source_of

    trained_on = run.data()
    if trained_on is not None and trained_on.held_out == "stratified" and trained_on.source != source_of(data):
        click.echo(
            f"note: trained on {trained_on.source}, from which images were held out by a draw; if {data} holds the "
            "same images, those of the training count too",
            err=True,
        )
