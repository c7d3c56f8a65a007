"""convscale family"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convscale.cli.executors import executor, executor_options, print_data_notes
from convscale.cli.laws import law_options, pick_law_with_evidence
from convscale.cli.options import (
    DATA_HELP,
    epochs_option,
    json_option,
    label_column_option,
    layout_option,
    load_network,
    range_option,
    set_option,
)
from convscale.cli.output import print_json, print_table, print_text
from convscale.cli.parameters import Numbers
from convscale.planning.families import MAX_MEMBERS
from convscale.records import TrainedFamily, write_family

if TYPE_CHECKING:
    from convscale.planning import Family
    from convscale.studies.families import FamilyTraining

PHIS = Numbers(float, "0..7, or 0,0.5,1,2", counts=range(1, MAX_MEMBERS + 1), ranges=True)


@click.command()
@click.argument("baseline")
@law_options
@click.option(
    "--coefficients",
    metavar="DIR|FILE|A,B,G",
    help="alpha, beta and gamma: a search's folder, a file, or three numbers.",
)
@click.option(
    "--phi",
    "phis",
    type=PHIS,
    metavar="PHI",
    default="0..7",
    show_default=True,
    help="A range or a list, such as 0,0.5,1,2.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write the networks to DIR.")
@click.option("--train", is_flag=True, help="Train every network, also into DIR.")
@click.option("--data", help=f"Training data: {DATA_HELP}")
@label_column_option
@layout_option
@range_option
@click.option("--images", type=click.IntRange(2), metavar="N", help="Training images, drawn at random [default: all].")
@click.option(
    "--test-images", type=click.IntRange(2), metavar="N", help="Held-out images, drawn at random [default: all]."
)
@click.option("--recipe", "recipe_name", default="small-images", show_default=True, help="A name or a TOML file.")
@set_option
@epochs_option
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings per network.")
@click.option("--dry-run", is_flag=True, help="With --train: measure a few steps and predict; train nothing.")
@executor_options
@json_option
def command(
    baseline: str, phis: tuple[float, ...], output: Path | None, train: bool, as_json: bool, law_name: str | None,
    alpha: float | None, beta: float | None, gamma: float | None, coefficients: str | None, **training: Any,
) -> None:  # fmt: skip
    """Scale BASELINE at several phi: true costs beside 2^phi, and accuracies with --train.

    BASELINE is a name, a TOML file, a run or a weights file.
    """
    from convscale.planning import family

    law, evidence = pick_law_with_evidence(law_name, alpha, beta, gamma, coefficients)
    made = replace(family(load_network(baseline), law, phis), evidence=evidence)
    if train:
        if training["data"] is None or (output is None and not training["dry_run"]):
            raise click.UsageError("--train needs --data and -o")
        _train(made, output, as_json, **training)
        return
    if output is not None:
        if (output / "settings.json").exists():
            raise click.UsageError(f"-o {output}: holds trainings; choose another folder, or add --train to continue")
        write_family(made, output)
    print_json(made) if as_json else print_family(made)


def _train(made: Family, output: Path | None, as_json: bool, **options: Any) -> None:
    from convscale.cli.options import recipe_from_options
    from convscale.studies.families import FamilyTraining, train_family
    from convscale.trials.trial import data_choice

    training = FamilyTraining(
        baseline=made.baseline,
        law=made.law,
        phis=tuple(member.phi for member in made.members),
        data=data_choice(
            options["data"], options["label_column"], options["images"], options["test_images"], options["layout"],
            options["stored_range"],
        ),
        recipe=recipe_from_options(options["recipe_name"], options["epochs"], None, options["settings"]),
        seeds=options["seeds"],
    )  # fmt: skip
    print_data_notes(training.data, options["quiet"])
    with executor(*(options[key] for key in ("workers", "threads", "cluster", "cpus", "gpus"))) as slots:
        if options["dry_run"]:
            _print_size(training, slots.slots, as_json)
            return
        assert output is not None
        trained = train_family(
            training, output, slots, evidence=made.evidence, storage=options["storage"], quiet=options["quiet"],
            records=options["records"],
        )  # fmt: skip
    print_json(trained) if as_json else print_family(trained)


def _print_size(training: FamilyTraining, slots: int, as_json: bool) -> None:
    from convscale.trials.sizing import size_of

    size = size_of([trial for group in training.trials() for trial in group], slots)
    print_json(size) if as_json else print_text(*size.lines())


def print_family(made: Family | TrainedFamily) -> None:
    """The members in a table, with accuracies where they are trained."""
    from convscale.report.networks import family_table

    print_text(f"{made.baseline.name}: {made.evidence}")
    print_table(family_table(made))
