"""convscale study"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convscale.cli.executors import executor, executor_options, print_data_notes
from convscale.cli.grids import run_published
from convscale.cli.options import (
    DATA_HELP,
    json_option,
    layout_option,
    range_option,
    set_option,
    tune_rate_option,
)
from convscale.cli.output import print_json, print_table, print_text
from convscale.cli.parameters import PIXELS, Numbers
from convscale.cli.results import FOLDER, export, print_result, report

if TYPE_CHECKING:
    from convscale.data.layouts import Layout
    from convscale.records import StudySpec


@click.group()
def command() -> None:
    """Run many trainings that answer one question: compound against single dimensions, laws, families."""


@command.command("list")
@json_option
def list_studies(as_json: bool) -> None:
    """List the studies that ship with Convscale."""
    from convscale.studies.grids import GRIDS
    from convscale.studies.spec import LIBRARY

    studies = {name: LIBRARY.read(name).question for name in LIBRARY.names()}
    found = dict(sorted((studies | {name: GRIDS.read(name).question for name in GRIDS.names()}).items()))
    if as_json:
        print_json({"studies": [{"name": name, "question": question} for name, question in found.items()]})
        return
    from convscale.report.tables import Table, text_column

    print_table(Table((text_column("study"), text_column("question", wrap=True)), list(found.items())))


@command.command()
@click.argument("study", metavar="NAME|FILE.toml")
def show(study: str) -> None:
    """Print a study as it is written: a file to copy and change."""
    from convscale.studies.grids import GRIDS
    from convscale.studies.spec import LIBRARY

    if study in GRIDS.names():
        print(GRIDS.text(study), end="")
        return
    LIBRARY.read(study)  # a file that is no study is refused
    print(LIBRARY.text(study), end="")


@command.command()
@click.argument("study", metavar="NAME|FILE.toml")
@click.option("--data", help=f"Data in place of the study's: {DATA_HELP}")
@click.option("--label-column", help="Column of labels in a CSV or parquet file [default: label].")
@layout_option
@range_option
@click.option("--images", type=click.IntRange(2), metavar="N", help="Training images, drawn at random [default: all].")
@click.option(
    "--test-images", type=click.IntRange(2), metavar="N", help="Held-out images, drawn at random [default: all]."
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    help="In place of the study's, repeatable: a name, a TOML file, a run or weights.",
)
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side of the baselines.")
@click.option("--costs", type=Numbers(float, "2,4,8"), metavar="C,C,...", help="Costs, as multiples of the baseline's.")
@click.option(
    "--lengths", type=Numbers(int, "2,6"), metavar="E,E,...", help="Training lengths in epochs, at least two."
)
@click.option("--seeds", type=click.IntRange(2), help="Trainings per network.")
@click.option("--recipe", help="A name or a TOML file.")
@set_option
@click.option("--coefficients", metavar="DIR|FILE|A,B,G", help="Add a method: the compound law with these.")
@click.option(
    "--equal",
    type=click.Choice(["macs", "seconds", "activations"]),
    help="What networks at one cost have in common [default: the study's, else macs]. Seconds are measured here.",
)
@tune_rate_option
@click.option(
    "--allow-missing",
    is_flag=True,
    default=None,
    help="Run even where a cost has fewer than two methods with a network.",
)
@click.option("--dry-run", is_flag=True, help="Show the networks and what they would take; train nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="The study's folder.")
@executor_options
@json_option
def run(
    study: str, output: Path | None, dry_run: bool, as_json: bool, workers: int | None, threads: int,
    cluster: str | None, cpus: float, gpus: float, storage: str | None, records: tuple[Path, ...], quiet: bool,
    **overrides: Any,
) -> None:  # fmt: skip
    """Run a study by name or from a TOML file, as it is or changed by options.

    After an interruption the same command or `convscale study resume DIR` continues.
    """
    from convscale.studies.grids import GRIDS
    from convscale.studies.spec import read_study, settled

    if study in GRIDS.names():
        run_published(study, output, as_json)
        return
    spec = _overridden(read_study(study), **overrides)
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--output'.")
    print_data_notes(settled(spec).choice(), quiet)
    with executor(workers, threads, cluster, cpus, gpus) as slots:
        if dry_run:
            _dry_run(spec, slots.slots, records, as_json)
            return
        assert output is not None
        from convscale.studies.running import run_study

        result = run_study(spec, output, slots, storage=storage, quiet=quiet, records=records)
    print_result(result, output, as_json)


def _overridden(
    spec: StudySpec, *, data: str | None, label_column: str | None, layout: Layout | None,
    stored_range: tuple[float, float] | None, images: int | None, test_images: int | None,
    coefficients: str | None, baselines: tuple[str, ...], settings: tuple[str, ...], **values: Any,
) -> StudySpec:  # fmt: skip
    from convscale.recipes.settings import require_agreement, require_no_length
    from convscale.records import Method
    from convscale.trials.trial import data_choice

    changes = {key: value for key, value in values.items() if value is not None}
    changes |= {"baselines": baselines} if baselines else {}
    require_agreement(settings)
    require_no_length(settings, "--lengths")
    changes |= {"settings": (*spec.settings, *settings)} if settings else {}
    if coefficients is not None:
        changes["methods"] = (*spec.methods, Method(coefficients=coefficients, name="searched"))
    choice = spec.data if data is None else data_choice(data)
    if choice is not None:
        given: dict[str, Any] = {
            "label_column": label_column, "train_images": images, "test_images": test_images, "layout": layout,
            "stored_range": stored_range,
        }  # fmt: skip
        choice = replace(choice, **{key: value for key, value in given.items() if value is not None})
    return replace(spec, data=choice, **changes)


def _dry_run(spec: StudySpec, slots: int, records: tuple[Path, ...], as_json: bool) -> None:
    from convscale.studies.designs import design
    from convscale.studies.rates import further_at_most
    from convscale.studies.spec import settled
    from convscale.trials.sizing import size_of
    from convscale.trials.taking import FinishedTrials

    designed, finished = design(settled(spec)), FinishedTrials(records)
    trials = [*designed.scans().values(), *designed.trials().values()]
    size = size_of(finished.missing_of(trials), slots, finished.missing_of(further_at_most(designed)))
    if as_json:
        print_json(size, networks=designed.points, unreachable=len(designed.unreachable))
        return
    from convscale.report.tables import Column, Table, text_column

    factor = "x{:.2f}".format
    columns = (
        text_column("baseline"), text_column("method", wrap=True), Column("depth", factor), Column("width", factor),
        Column("px"), Column("MACs", "{:,}".format), Column("cost", "{:.2f}x".format),
    )  # fmt: skip
    rows = [
        (
            one.baseline,
            one.method,
            one.scaling.depth,
            one.scaling.width,
            one.network.resolution,
            one.macs,
            one.cost_ratio,
        )
        for one in designed.points
    ]
    print_table(Table(columns, rows))
    for other in designed.unreachable:
        print_text(f"no network: {other.baseline}, {other.method}: {other.reason}")
    print_text(*size.lines())


@command.command()
@FOLDER
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show the progress of each trial of a study; safe while it runs."""
    from convscale.trials.status import study_status
    from convscale.units import format_seconds

    states = study_status(folder)
    counts = {name: sum(one.state == name for one in states) for name in dict.fromkeys(one.state for one in states)}
    if as_json:
        print_json(trials=states, counts=counts)
        return
    from convscale.report.tables import Column, Table, text_column

    columns = (
        Column("trial"), text_column("network", wrap=True), Column("seed"), text_column("state"), Column("attempts"),
        Column("epoch"), Column("left", format_seconds), Column("top-1", "{:.4f}".format), text_column("", wrap=True),
    )  # fmt: skip
    rows = [
        (
            one.number,
            one.network,
            one.seed,
            one.state,
            one.attempts,
            f"{one.epoch}/{one.epochs}",
            one.seconds_left,
            one.accuracy,
            one.reason,
        )
        for one in states
    ]
    print_table(Table(columns, rows))
    print(", ".join(f"{count} {name}" for name, count in counts.items()) or "no trials yet")


@command.command()
@FOLDER
@executor_options
@json_option
def resume(
    folder: Path, as_json: bool, workers: int | None, threads: int, cluster: str | None, cpus: float, gpus: float,
    storage: str | None, records: tuple[Path, ...], quiet: bool,
) -> None:  # fmt: skip
    """Resume a study, a search for coefficients or the training of a family."""
    from convscale.studies.running import kind_of, resume_study

    kind = kind_of(folder)
    with executor(workers, threads, cluster, cpus, gpus) as slots:
        if kind == "coefficients":
            from convscale.cli.coefficients import print_search
            from convscale.studies.coefficients import resume_search

            found = resume_search(folder, slots, storage=storage, quiet=quiet, records=records)
            print_json(found) if as_json else print_search(found, folder)
            return
        if kind == "family":
            from convscale.cli.family import print_family
            from convscale.studies.families import read_family_training, train_family

            training = read_family_training(folder)
            trained = train_family(training, folder, slots, storage=storage, quiet=quiet, records=records)
            print_json(trained) if as_json else print_family(trained)
            return
        result = resume_study(folder, slots, storage=storage, quiet=quiet, records=records)
    print_result(result, folder, as_json)


for made in (export, report):
    command.add_command(made)
