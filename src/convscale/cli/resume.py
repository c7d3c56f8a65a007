"""convscale resume"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.shared import json_option, print_training, set_option
from convscale.machine import speaks
from convscale.report.runs import describe_run
from convscale.runs import open_unfinished_run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", metavar="DATA", help="Where the data is now, if it was moved.")
@set_option
@json_option
def command(run: Path, data: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Go on with an unfinished training in RUN, to the very result that it would have had.

    With --set the recipe is another from here on, and the run says so.
    """
    unfinished = open_unfinished_run(run)
    unfinished.recipe().with_settings(list(settings))  # a mistyped one is refused before PyTorch is loaded
    from convscale.training import resume

    finished, evaluation = resume(run, data=data, set=settings)
    print_training(finished, evaluation, as_json)
    if not as_json and speaks() and finished.plan() is not None:
        print("\n".join(describe_run(finished)))  # as `fit` ends
