"""convscale resume"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import (
    json_option,
    print_text,
    print_training,
    set_option,
    typed_command,
)
from convscale.machine import speaks
from convscale.report.fits import fit_record, summary_lines
from convscale.runs import open_unfinished_run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", metavar="DATA", help="Where the data is now, if it was moved.")
@set_option
@click.option("--epochs", type=click.IntRange(1), help="Train a finished run for so many more, as a new run.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="NEW", help="Its folder [next to RUN].")
@json_option
def command(
    run: Path, data: str | None, settings: tuple[str, ...], epochs: int | None, output: Path | None, as_json: bool
) -> None:
    """Go on with an unfinished training in RUN, to the very result that it would have had.

    With --set the recipe is another from here on, and the run says so.

    With --epochs RUN is a finished one. A new run starts from its weights with a fresh optimizer; the learning rate
    takes the recipe's whole course, from warm-up to its end, over the new epochs. RUN stays as it is.
    """
    if output is not None and epochs is None:
        raise click.UsageError("-o is the folder of more epochs: --epochs N goes with it")
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
