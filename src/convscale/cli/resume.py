"""convscale resume"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.options import json_option, set_option
from convscale.cli.output import print_text, print_training, typed_command
from convscale.machine import speaks
from convscale.recipes.settings import require_agreement
from convscale.report.fits import fit_record, summary_lines
from convscale.runs import open_unfinished_run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", metavar="DATA", help="Where the data is now, if it was moved.")
@set_option
@click.option("--epochs", type=click.IntRange(1), help="Train a finished RUN for this many more, as a new run.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="NEW",
    help="Folder of the new run [default: the next number].",
)
@json_option
def command(
    run: Path, data: str | None, settings: tuple[str, ...], epochs: int | None, output: Path | None, as_json: bool
) -> None:
    """Resume the interrupted training in RUN; the result is bit-identical to an uninterrupted one.

    --set changes the recipe from here on, which is recorded.

    With --epochs, RUN is a finished training and a new run continues it: from its weights, with a fresh optimizer, and
    with the recipe's whole learning rate schedule, warm-up included, over the new epochs. RUN is not changed.
    """
    if output is not None and epochs is None:
        raise click.UsageError("-o names the folder of the new run and requires --epochs N")
    require_agreement(settings, epochs=epochs)
    unfinished = open_unfinished_run(run)
    unfinished.recipe().with_settings(list(settings))  # a mistyped one is refused before PyTorch is loaded
    from convscale.training import resume

    finished, evaluation = resume(
        run, data=data, set=settings, epochs=epochs, output=output, command=None if epochs is None else typed_command()
    )
    fitted = fit_record(finished) if speaks() and not as_json else None
    if fitted is None:
        print_training(finished, evaluation, as_json)
    else:
        print_text(*summary_lines(fitted))  # as `fit` ends
