"""convscale train"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import (
    batch_option,
    epochs_option,
    json_option,
    label_column_option,
    load_network,
    print_json,
    seed_option,
    workers_option,
)
from convscale.recipes import recipe
from convscale.runs import require_free


@click.command()
@click.argument("network")
@click.option("--data", required=True, help="digits, a folder of images, or parquet.")
@click.option("--recipe", "recipe_name", default="small-images", show_default=True, help="A name or a TOML file.")
@epochs_option
@batch_option
@seed_option
@workers_option
@label_column_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="RUN", help="Run folder.")
@json_option
def command(
    network: str, data: str, recipe_name: str, epochs: int | None, batch: int | None, seed: int, workers: int,
    label_column: str, output: Path, as_json: bool,
) -> None:  # fmt: skip
    """Train NETWORK (a name or a file) on images and leave a run folder."""
    net = load_network(network)
    chosen = recipe(recipe_name).with_changes(epochs=epochs, batch=batch)
    require_free(output)
    from convscale.data import open_dataset

    dataset = open_dataset(data, seed=seed, label_column=label_column)
    from convscale.training import train  # PyTorch, once everything else is known to be right

    if dataset.skipped:
        click.echo(f"note: not used: {', '.join(dataset.skipped)}", err=True)
    run, evaluation = train(net, dataset, chosen, output, seed=seed, workers=workers)
    if as_json:
        print_json({"run": str(run.path), "epochs": chosen.epochs, "evaluation": evaluation.as_dict()})
    else:
        low, high = evaluation.interval95
        print(f"top-1 {evaluation.top1:.4f} ({low:.4f} to {high:.4f}) on {evaluation.n:,} images; {run.path}")
