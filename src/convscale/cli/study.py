"""convscale study"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convscale.cli.executors import executor, executor_options
from convscale.cli.shared import DATA_HELP, PIXELS, json_option, print_json, print_table

if TYPE_CHECKING:
    from convscale.studies.results import StudyResult
    from convscale.studies.spec import StudySpec

FOLDER = click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")


@click.group()
def command() -> None:
    """Many trainings that answer one question: compound against single dimensions, laws, families."""


@command.command("list")
@json_option
def list_studies(as_json: bool) -> None:
    """The studies that come along."""
    from convscale.studies.spec import read_study, studies

    found = {name: read_study(name).question for name in studies()}
    if as_json:
        print_json({"studies": [{"name": name, "question": question} for name, question in found.items()]})
        return
    for name, question in found.items():
        print(f"{name:<14} {question}")


def _numbers(kind: type) -> Any:
    def read(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        try:
            return None if value is None else tuple(kind(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"{value!r}: numbers, as 2,4,8") from None

    return read


@command.command()
@click.argument("study", metavar="NAME|FILE.toml")
@click.option("--data", help=f"Instead of the study's: {DATA_HELP}")
@click.option("--label-column", help="Column of labels in a CSV or parquet file [label].")
@click.option("--images", type=click.IntRange(2), metavar="N", help="Training images, drawn [all].")
@click.option("--test-images", type=click.IntRange(2), metavar="N", help="Held-out images, drawn [all].")
@click.option("--baseline", "baselines", multiple=True, help="Instead of the study's; a name or file, several times.")
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side of the baselines.")
@click.option("--costs", callback=_numbers(float), metavar="C,C,...", help="Times the baseline's MACs.")
@click.option("--lengths", callback=_numbers(int), metavar="E,E,...", help="Training lengths in epochs, two at least.")
@click.option("--seeds", type=click.IntRange(2), help="Trainings of each network.")
@click.option("--recipe", help="A name or a TOML file.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value of the recipe.")
@click.option("--coefficients", metavar="DIR|FILE|A,B,G", help="Add a method: the compound law with these.")
@click.option("--dry-run", is_flag=True, help="Show the networks and what they would take; train nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="The study's folder.")
@executor_options
@json_option
def run(
    study: str, output: Path | None, dry_run: bool, as_json: bool, workers: int | None, threads: int,
    cluster: str | None, cpus: float, gpus: float, storage: str | None, quiet: bool, **overrides: Any,
) -> None:  # fmt: skip
    """Run a study by name or from a TOML file, as it is or changed by options.

    Interrupted, the same command or `convscale study resume DIR` goes on.
    """
    from convscale.studies.spec import read_study

    spec = _overridden(read_study(study), **overrides)
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--output'.")
    with executor(workers, threads, cluster, cpus, gpus) as slots:
        if dry_run:
            _dry_run(spec, slots.slots, as_json)
            return
        assert output is not None
        from convscale.studies.running import run_study

        result = run_study(spec, output, slots, storage=storage, quiet=quiet)
    _print_result(result, output, as_json)


def _overridden(
    spec: StudySpec, *, data: str | None, label_column: str | None, images: int | None, test_images: int | None,
    coefficients: str | None, baselines: tuple[str, ...], settings: tuple[str, ...], **values: Any,
) -> StudySpec:  # fmt: skip
    from convscale.studies.spec import Method
    from convscale.studies.trial import data_choice

    changes = {key: value for key, value in values.items() if value is not None}
    changes |= {"baselines": baselines} if baselines else {}
    changes |= {"settings": (*spec.settings, *settings)} if settings else {}
    if coefficients is not None:
        changes["methods"] = (*spec.methods, Method(coefficients=coefficients, name="searched"))
    choice = spec.data if data is None else data_choice(data)
    if choice is not None:
        counts = {"label_column": label_column, "train_images": images, "test_images": test_images}
        choice = replace(choice, **{key: value for key, value in counts.items() if value is not None})  # type: ignore[arg-type]
    return replace(spec, data=choice, **changes)


def _dry_run(spec: StudySpec, slots: int, as_json: bool) -> None:
    from convscale.studies.design import design
    from convscale.studies.sizing import size_of

    designed = design(spec.settled())
    size = size_of(list(designed.trials().values()), slots)
    if as_json:
        networks = [{"baseline": one.baseline, "method": one.method, "network": one.network.name, "macs": one.macs,
                     "params": one.params, "cost_ratio": one.cost_ratio} for one in designed.points]  # fmt: skip
        print_json({"networks": networks, "unreachable": len(designed.unreachable)} | size.as_dict())
        return
    from rich.table import Table

    table = Table(box=None)
    for heading in ("baseline", "method", "depth", "width", "px", "MACs", "cost"):
        table.add_column(heading, justify="left" if heading in ("baseline", "method") else "right")
    for one in designed.points:
        table.add_row(one.baseline, one.method, f"x{one.scaling.depth:.2f}", f"x{one.scaling.width:.2f}",
                      str(one.network.resolution), f"{one.macs:,}", f"{one.cost_ratio:.2f}x")  # fmt: skip
    print_table(table)
    for other in designed.unreachable:
        print(f"not to be had: {other.baseline}, {other.method}: {other.reason}")
    print("\n".join(size.lines()))


def _print_result(result: StudyResult, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json(result.as_dict())
        return
    from rich.table import Table

    from convscale.studies.study_report import conclusions
    from convscale.units import format_count

    table = Table(box=None)
    for heading in ("baseline", "method", "cost", "px", "params", "MACs", "steps", "top-1", "95 %", "seeds"):
        table.add_column(heading, justify="left" if heading in ("baseline", "method") else "right")
    for row in result.rows:
        interval = row.interval95
        table.add_row(
            row.baseline, row.method, f"{row.cost_ratio:.2f}x", str(row.resolution), format_count(row.params),
            format_count(row.macs), f"{row.steps:,}", "failed" if row.accuracy is None else f"{row.accuracy:.4f}",
            f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "", str(row.seeds),
        )  # fmt: skip
    print_table(table)
    print("\n".join(conclusions(result)))
    print(f"report  {folder / 'report.md'}")


@command.command()
@FOLDER
@json_option
def status(folder: Path, as_json: bool) -> None:
    """How far each trial of a study is; safe while it runs."""
    from convscale.studies.status import study_status

    states = study_status(folder)
    counts = {name: sum(one.state == name for one in states) for name in dict.fromkeys(one.state for one in states)}
    if as_json:
        print_json({"trials": [one.as_dict() for one in states], "counts": counts})
        return
    from rich.table import Table

    table = Table(box=None)
    for heading in ("trial", "network", "seed", "state", "attempts", "epoch", "top-1", ""):
        table.add_column(heading, justify="left" if heading in ("network", "state", "") else "right")
    for one in states:
        table.add_row(
            str(one.number), one.network, str(one.seed), one.state, str(one.attempts), f"{one.epoch}/{one.epochs}",
            "" if one.accuracy is None else f"{one.accuracy:.4f}", one.reason,
        )  # fmt: skip
    print_table(table)
    print(", ".join(f"{count} {name}" for name, count in counts.items()) or "no trials yet")


@command.command()
@FOLDER
@executor_options
@json_option
def resume(
    folder: Path, as_json: bool, workers: int | None, threads: int, cluster: str | None, cpus: float, gpus: float,
    storage: str | None, quiet: bool,
) -> None:  # fmt: skip
    """Go on with a study, a search for coefficients or the training of a family."""
    from convscale.studies.running import kind_of, resume_study

    kind = kind_of(folder)
    with executor(workers, threads, cluster, cpus, gpus) as slots:
        if kind == "coefficients":
            from convscale.cli.coefficients import print_search
            from convscale.studies.searching import read_search, resume_search, search_as_dict

            found, search = resume_search(folder, slots, storage=storage, quiet=quiet), read_search(folder)
            print_json(search_as_dict(search, found)) if as_json else print_search(search, found, folder)
            return
        if kind == "family":
            from convscale.cli.family import finish
            from convscale.studies.families import read_family_training, train_family

            training = read_family_training(folder)
            trained = train_family(training, folder, slots, storage=storage, quiet=quiet)
            law = training.law
            evidence = (
                f"depth {law.depth:.4g}, width {law.width:.4g}, resolution {law.resolution:.4g} at phi 1, resumed"
            )
            finish(training, trained, folder, evidence, as_json)
            return
        result = resume_study(folder, slots, storage=storage, quiet=quiet)
    _print_result(result, folder, as_json)


@command.command()
@FOLDER
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE.csv|FILE.json",
              help="A row a trial.")  # fmt: skip
def export(folder: Path, output: Path) -> None:
    """Write how every trial is, a row each."""
    import csv
    import io

    from convscale.files import write_json, write_text
    from convscale.studies.status import study_status

    if output.suffix not in (".csv", ".json"):
        raise click.UsageError(f"-o {output}: a file that ends in .csv or .json")
    rows = [one.as_dict() for one in study_status(folder)]
    if output.suffix == ".json":
        write_json(output, rows)
    else:
        file = io.StringIO()
        writer = csv.DictWriter(file, rows[0] if rows else (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(output, file.getvalue())
    click.echo(f"wrote {output}: {len(rows)} trials", err=True)
