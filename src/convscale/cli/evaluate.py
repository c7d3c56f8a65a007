"""convscale eval"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import json_option, print_json, print_table, workers_option
from convscale.runs import weights_file


@click.command("eval")
@click.argument("run")
@click.option("--data", required=True, help="digits, a folder of images, or parquet.")
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
    from convscale.evaluation import evaluate

    result = evaluate(run, data, batch=batch, workers=workers, label_column=label_column)
    if as_json:
        print_json(result.as_dict())
        return
    from rich.table import Table

    low, high = result.interval95
    print(f"top-1 {result.top1:.4f} (95% interval {low:.4f} to {high:.4f}) on {result.n:,} images")
    print(f"top-5 {result.top5:.4f}")
    table = Table("class", box=None)
    for heading in ("images", "top-1"):
        table.add_column(heading, justify="right")
    for row in result.per_class:
        table.add_row(row.name, str(row.n), "" if row.top1 is None else f"{row.top1:.4f}")
    print_table(table)
