"""convscale fit"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.latency import pick_profile, profile_options
from convscale.cli.options import (
    batch_option,
    budget_options,
    epochs_option,
    json_option,
    label_column_option,
    layout_option,
    load_network,
    range_option,
    recipe_from_options,
    resolution_options,
    search_option,
    seed_option,
    set_option,
    workers_option,
)
from convscale.cli.output import print_json, print_text, typed_command
from convscale.machine import speaks
from convscale.planning import Budget
from convscale.progress import print_note
from convscale.units import printable

if TYPE_CHECKING:
    from convscale.data.layouts import Layout
    from convscale.fitting import PlannedFit


@click.command()
@click.argument("data")
@budget_options
@resolution_options
@click.option(
    "--baseline", metavar="NETWORK", help="A name, a TOML file, a run or weights [default: chosen by the images' size]."
)
@click.option(
    "--weights",
    metavar="NAME|FILE",
    help="Pretrained weights, with their network: a name of `weights list`, a file or a run.",
)
@click.option(
    "--recipe", "recipe_name", metavar="NAME", help="A recipe or a TOML file [default: chosen by the images' size]."
)
@epochs_option
@batch_option
@set_option
@search_option
@seed_option
@workers_option
@label_column_option
@layout_option
@click.option("--exclude", type=click.Path(path_type=Path), metavar="FILE", help="List of images to leave out.")
@range_option
@click.option(
    "--dry-run", is_flag=True, help="Print the plan, predict time and memory from a few steps; train nothing."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Run folder [default: runs/NAME-N]."
)
@profile_options
@json_option
def command(
    data: str, resolution: int | None, max_resolution: int | None, resolution_step: int, baseline: str | None,
    weights: str | None, recipe_name: str | None, epochs: int | None,
    batch: int | None, settings: tuple[str, ...], search: tuple[int, int] | None, seed: int, workers: int,
    label_column: str, layout: Layout | None, exclude: Path | None,
    stored_range: tuple[float, float] | None, dry_run: bool, output: Path | None, profile_file: Path | None,
    engine: str | None, threads: int | None, other_machine: bool, as_json: bool, **limits: str | None,
) -> None:  # fmt: skip
    """Plan, train and evaluate a network for the images of DATA within a budget.

    With --weights, their network is kept, at a resolution that fits the budget, or at its own where no limit is given.

    DATA is "digits", a folder with one subfolder per class, a folder with images and a CSV of labels, parquet, or a
    name of `convscale data sets`.
    """
    budget = None if all(limit is None for limit in limits.values()) else Budget(**limits)
    profile = pick_profile(limits, profile_file, engine, threads, other_machine)
    network = None if baseline is None else load_network(baseline)  # a mistyped name fails before any work
    if recipe_name is not None:
        recipe_from_options(recipe_name, epochs, batch, settings, search)
    from convscale.fitting import carry_out, plan_fit

    planned = plan_fit(
        data, budget, baseline=network, weights=weights, recipe=recipe_name, epochs=epochs, batch=batch,
        set=settings, search=search, output=output, seed=seed, workers=workers, label_column=label_column,
        exclude=exclude, layout=layout, stored_range=stored_range, resolution=resolution, max_resolution=max_resolution,
        resolution_step=resolution_step, command=typed_command(),
        predictor=None if profile is None else profile.predictor(),
    )  # fmt: skip
    if dry_run:
        _predict(planned, as_json)
        return
    result = carry_out(planned)
    if not speaks():
        return
    if as_json:
        print_json(result)
    else:
        print_text(*result.summary())


def _predict(planned: PlannedFit, as_json: bool) -> None:
    """What it would be, and what it would take."""
    for note in planned.notes:
        print_note(printable(note))
    estimate = planned.estimate()
    if as_json:
        print_json(planned, estimate=estimate)
    else:
        print_text(*planned.lines(), *estimate.lines())
