"""convscale predict"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import json_option, print_json, print_text
from convscale.records import PredictionSet
from convscale.runs import weights_file
from convscale.units import printable


@click.command()
@click.argument("run")
@click.argument("images", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes to name.")
@json_option
def command(run: str, images: tuple[str, ...], top: int, as_json: bool) -> None:
    """Classes of IMAGES with their probabilities, by RUN (a run folder or a weights file)."""
    weights_file(Path(run))  # a mistyped run is refused before PyTorch is loaded
    from convscale.evaluation import predict

    predictions = predict(run, images, top=top)
    if as_json:
        print_json(PredictionSet(tuple(predictions)))
        return
    for prediction in predictions:
        ranked = "  ".join(f"{printable(name)} {probability:.3f}" for name, probability in prediction.classes)
        print_text(f"{printable(prediction.image)}: {ranked}")
