"""A study from its table to its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from convscale.errors import ConfigError, RunError
from convscale.figures import draw_study
from convscale.files import read_json, write_text, write_toml
from convscale.networks import ConvNet
from convscale.records import StudyResult, StudySpec, write_record
from convscale.report.studies import report, rows_as_csv
from convscale.schema import to_table
from convscale.studies.collecting import collect
from convscale.studies.designs import design
from convscale.studies.planted import planted_study
from convscale.studies.spec import settled
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Executor
from convscale.trials.folders import StudyFolder, hold_study, read_settings, require_same_settings

KIND = "study"
RESULT = "results.json"


def run_study(
    spec: StudySpec,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    *,
    evaluate: Callable[[ConvNet, int, int], float] | None = None,
    storage: str | None = None,
    quiet: bool = False,
) -> StudyResult:
    """Run those trials of `spec` that the folder has no record of, and write study.toml, results.json, rows.csv,
    report.md and pictures/.

    evaluate: `evaluate(network, seed, steps) -> accuracy`, a fraction, in place of all that: nothing is trained or
    written, and no images, folder or executor are needed. An epoch counts 100 steps, and the accuracy of guessing is
    one over the network's classes.

    Raises as `design` and `run_trials` do, RunError where the folder holds another study, and ConfigError unless
    either `evaluate` or both `folder` and `executor` are given.
    """
    if evaluate is not None:
        if folder is not None or executor is not None:
            raise ConfigError(
                f"study {spec.name!r}: with evaluate nothing is trained or written",
                hint="omit the folder and the executor",
            )
        return planted_study(spec, evaluate)
    if folder is None or executor is None:
        raise ConfigError(
            f"study {spec.name!r} has no {'folder' if folder is None else 'executor'}",
            hint="run_study(spec, folder, LocalExecutor(...)), or run_study(spec, evaluate=function)",
        )
    spec = settled(spec)
    with hold_study(Path(folder)) as study:
        designed = design(spec)  # first, so that a study that cannot begin leaves no settings behind
        require_same_settings(study.path, KIND, spec, read_spec)
        trials = designed.trials()
        records = run_trials(study.path, list(trials.values()), executor, storage=storage, quiet=quiet)
        result = collect(designed, dict(zip(trials, records, strict=True)))
        _write(study, result)
    return result


def resume_study(
    folder: str | Path, executor: Executor, *, storage: str | None = None, quiet: bool = False
) -> StudyResult:
    """Resume the study in `folder`. Raises RunError where there is none, and as `run_study` does."""
    return run_study(read_spec(folder), folder, executor, storage=storage, quiet=quiet)


def kind_of(folder: str | Path) -> str:
    """The kind that the folder's settings name: "study", "coefficients", "family". Raises RunError where it is none."""
    file = Path(folder) / "settings.json"
    table = read_json(file) if file.exists() else None
    if not isinstance(table, dict) or "kind" not in table:
        raise RunError(f"{folder}: no study here", hint="create one with: convscale study run NAME -o DIR")
    return str(table["kind"])


def read_spec(folder: str | Path) -> StudySpec:
    """The study that `folder` holds. Raises RunError where it holds none."""
    if kind_of(folder) != KIND:
        raise RunError(f"{folder} holds a {kind_of(folder)} search or training, not a study")
    return read_settings(Path(folder), KIND, StudySpec)


def _write(study: StudyFolder, result: StudyResult) -> None:
    write_toml(study.path / "study.toml", to_table(result.spec))
    write_text(study.path / "rows.csv", rows_as_csv(result))
    write_text(study.path / "report.md", "\n".join(report(result)) + "\n")
    draw_study(result, study.path / "pictures")
    write_record(study.path / RESULT, result)  # last: a folder that has it is finished
