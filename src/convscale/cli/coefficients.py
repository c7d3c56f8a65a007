"""convscale coefficients"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from convscale.cli.executors import executor, executor_options, print_data_notes
from convscale.cli.options import (
    DATA_HELP,
    json_option,
    label_column_option,
    layout_option,
    load_network,
    range_option,
    recipe_from_options,
    seed_option,
    set_option,
)
from convscale.cli.output import print_json, print_table, print_text
from convscale.cli.parameters import PIXELS, Numbers
from convscale.recipes.settings import require_no_length
from convscale.search.coefficients.settings import Method, SearchSettings

if TYPE_CHECKING:
    from convscale.data.layouts import Layout
    from convscale.records import CoefficientSearch
    from convscale.studies.coefficients import TrainingSearch

F = TypeVar("F", bound=Callable[..., Any])

DEFAULTS = {field.name: field.default for field in fields(SearchSettings)}


def search_option(name: str, text: str, *, shown: str | bool = True) -> Callable[[F], F]:
    """An option for a field of SearchSettings, with its type and default; `shown` is how `--help` writes that."""
    kind = click.Choice(get_args(Method)) if name == "method" else type(DEFAULTS[name])
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, type=kind, default=DEFAULTS[name], show_default=shown, help=text)


@click.command()
@click.argument("baseline")
@click.option("--data", required=True, help=DATA_HELP)
@label_column_option
@layout_option
@range_option
@search_option("cost", "MACs of the candidates, as a multiple of the baseline's.")
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side of the baseline.")
@click.option("--images", type=click.IntRange(2), metavar="N", help="Training images, drawn at random [default: all].")
@click.option(
    "--test-images", type=click.IntRange(2), metavar="N", help="Held-out images, drawn at random [default: all]."
)
@click.option("--recipe", "recipe_name", default="small-images", show_default=True, help="A name or a TOML file.")
@set_option
@click.option(
    "--lengths",
    type=Numbers(int, "2,6,18"),
    default="2,6,18",
    show_default=True,
    metavar="E,E,...",
    help="Training lengths in epochs, at least two.",
)
@search_option("method", "shares: equal true cost; grid: the paper's step 1 as written.")
@search_option("share_step", "Step between shares of the extra cost.", shown="1/6")
@search_option("step", "Step of the grid in alpha, beta and gamma.")
@search_option("tolerance", "How far alpha * beta^2 * gamma^2 of a grid point may be from the cost.")
@search_option("seeds", "Paired seeds per rung.")
@search_option("final_seeds", "Seeds of the finalists.")
@search_option("reduction", "The best 1/N of a rung are promoted.")
@search_option("keep", "Candidates kept per rung, at least.")
@search_option("probe", "Candidates trained at every length to choose the first.")
@search_option("trust", "Minimum rank correlation for a short length to be trusted.")
@search_option("budget", "Share of the full grid's training that the search may take.")
@seed_option
@click.option("--dry-run", is_flag=True, help="Show the candidates and what they would take; train nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="The study's folder.")
@executor_options
@json_option
def command(
    baseline: str, data: str, label_column: str, layout: Layout | None, stored_range: tuple[float, float] | None,
    resolution: int | None, images: int | None, test_images: int | None,
    recipe_name: str, settings: tuple[str, ...], lengths: tuple[int, ...], dry_run: bool, output: Path | None,
    as_json: bool, workers: int | None, threads: int, cluster: str | None, cpus: float, gpus: float,
    storage: str | None, records: tuple[Path, ...], quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Find alpha, beta and gamma for BASELINE on images: the paper's step 1, at equal true cost.

    BASELINE is a name, a TOML file, a run or a weights file.
    After an interruption the same command or `convscale study resume DIR` continues.
    """
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--output'.")
    net = load_network(baseline, resolution=resolution)
    require_no_length(settings, "--lengths")
    recipe = recipe_from_options(recipe_name, None, None, settings)
    from convscale.studies.coefficients import TrainingSearch, search_by_training
    from convscale.trials.trial import data_choice

    search = TrainingSearch(
        baseline=net, data=data_choice(data, label_column, images, test_images, layout, stored_range), recipe=recipe,
        epochs=lengths, options=options,
    )  # fmt: skip
    print_data_notes(search.data, quiet)
    with executor(workers, threads, cluster, cpus, gpus) as slots:
        if dry_run:
            _dry_run(search, slots.slots, as_json)
            return
        assert output is not None
        found = search_by_training(search, output, slots, storage=storage, quiet=quiet, records=records)
    if as_json:
        print_json(found)
    else:
        print_search(found, output)


def _dry_run(search: TrainingSearch, slots: int, as_json: bool) -> None:
    from convscale.studies.coefficients import full_grid
    from convscale.trials.sizing import size_of

    candidates, trials = full_grid(search)
    size = size_of(trials, slots)
    budget = search.options["budget"]
    if as_json:
        print_json(
            candidates=len(candidates.found), merged=candidates.merged, unreachable=len(candidates.unreachable),
            budget=budget, full_grid=size, seconds=budget * size.seconds,
        )  # fmt: skip
        return
    print_text(f"candidates {len(candidates.found)} networks of {search.options['cost']:g} times the baseline's MACs; "
               f"{candidates.merged} directions merged, {len(candidates.unreachable)} without a network")  # fmt: skip
    for shares, why in candidates.unreachable:
        print_text(f"  depth {shares[0]:.2f}, width {shares[1]:.2f}, resolution {shares[2]:.2f}: {why}")
    print_text("the full grid would take:", *(f"  {line}" for line in size.lines()))
    print_text(
        f"the search takes about {budget:.0%} of it if short trainings rank candidates like long ones, otherwise more "
        "(75% in a small search)"
    )


def print_search(found: CoefficientSearch, output: Path) -> None:
    """What was found, how sure it is, and what to do next."""
    from convscale.report.coefficients import SHARES, candidate_table, coefficient_table, meaning

    print_table(coefficient_table(found))
    print_text(found.note, *meaning(found))
    equal = set(found.equal_best)
    shown = [one for index, one in enumerate(found.candidates) if one.state == "finalist" or index in equal]
    print_table(candidate_table(shown, found))
    order = found.order
    print_text(
        SHARES,
        f"order between {found.lengths[-2]:,} and {found.lengths[-1]:,} steps: {order.swapped} of {order.pairs} "
        f"pairs swap, the winner {'changes' if order.best_changes else 'is the same'}",
        f"cost  {found.device_seconds:,.0f} device-seconds, {found.share_of_full_grid:.0%} of the full grid",
    )
    folder = shlex.quote(str(output))
    print(f"next  convscale family {shlex.quote(str(output / 'baseline.toml'))} --coefficients {folder}")
