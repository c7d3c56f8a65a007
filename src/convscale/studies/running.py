"""A study from its table to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from convscale.errors import ConfigError, RunError, TrainingStopped
from convscale.figures import draw_study
from convscale.files import read_json, write_text, write_toml
from convscale.networks import ConvNet
from convscale.progress import print_note
from convscale.records import StudyResult, StudySpec, write_record
from convscale.report.studies import report, rows_as_csv
from convscale.schema import to_table
from convscale.studies.collecting import collect
from convscale.studies.designs import design
from convscale.studies.kept_design import Trials, keep_design
from convscale.studies.planted import planted_study
from convscale.studies.rates import stamped, with_rates
from convscale.studies.so_far import SeedWatch, result_so_far
from convscale.studies.spec import settled
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Executor
from convscale.trials.folders import StudyFolder, hold_study, read_settings, require_same_settings
from convscale.trials.status import ended
from convscale.trials.taking import FinishedTrials
from convscale.trials.trial import Trial, TrialRecord

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
    records: Sequence[str | Path] = (),
) -> StudyResult:
    """Run those trials of `spec` that the folder has no record of, and write study.toml, results.json, rows.csv,
    report.md and pictures/: when all trials of a seed have ended, when a signal ends the study, and at the end.

    records: files of finished trials, from which those of this study are taken first, as `convscale study export
    --records` writes them.

    evaluate: `evaluate(network, seed, steps) -> accuracy`, a fraction, in place of all that: nothing is trained or
    written, and no images, folder or executor are needed. An epoch counts 100 steps, and the accuracy of guessing is
    one over the network's classes.

    Raises as `design`, `run_trials` and `FinishedTrials` do, RunError where the folder holds another study, and
    ConfigError unless either `evaluate` or both `folder` and `executor` are given.
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
    spec, finished = settled(spec), FinishedTrials(records, quiet=quiet)
    with hold_study(Path(folder)) as study:
        run = partial(run_trials, study.path, executor=executor, storage=storage, quiet=quiet)
        return _run(study, spec, finished, run)


def _run(
    study: StudyFolder, spec: StudySpec, finished: FinishedTrials, run: Callable[..., list[TrialRecord]]
) -> StudyResult:
    """Run the study in a folder that is held. run: `run_trials` for this folder."""
    designed = design(spec, study.path)  # first, so that a study that cannot begin leaves no settings behind
    require_same_settings(study.path, KIND, spec, read_spec)
    designed = with_rates(designed, partial(_run_scans, study, finished, run))
    trials = designed.trials()
    keep_design(study, designed, trials)
    finished.take(study, trials.values())
    finished.report()
    ran = zip(trials.items(), _run_all(study, spec, trials, run), strict=True)
    result = collect(designed, {place: stamped(record, trial, designed) for (place, trial), record in ran})
    _write(study, result)
    return result


def _run_scans(
    study: StudyFolder, finished: FinishedTrials, run: Callable[..., list[TrialRecord]], scans: Sequence[Trial]
) -> list[TrialRecord]:
    """Run a round of short trainings, but for those that are among the finished ones."""
    finished.take(study, scans)
    return run(scans)


def _run_all(
    study: StudyFolder, spec: StudySpec, trials: Trials, run: Callable[..., list[TrialRecord]]
) -> list[TrialRecord]:
    """Run the trials, and write what is known whenever a seed is complete and where a signal ends them."""

    def write_so_far() -> None:
        try:
            _write(study, result_so_far(study, spec))
        except Exception as error:  # the trials count for more, and it will be written again
            print_note(f"no report so far: {type(error).__name__}: {error}")

    watch = SeedWatch(trials, write_so_far)
    try:
        return run(list(trials.values()), on_end=watch)
    except TrainingStopped:
        own = {folder.number for folder in study.folders_of(trials.values()).values()}
        if any(folder.number in own for folder, _ in ended(study)):  # not only short trainings that chose a rate
            write_so_far()
        raise


def report_study(folder: str | Path) -> StudyResult:
    """Write the report of the study in `folder` from the trials that have ended so far, also while it runs.

    Raises RunError where there is no study, or no trial that has ended; for a folder from before design.json, which
    needs the images, as `design` does.
    """
    study = StudyFolder(Path(folder))
    result = result_so_far(study, read_spec(folder))
    _write(study, result)
    return result


def resume_study(
    folder: str | Path,
    executor: Executor,
    *,
    storage: str | None = None,
    quiet: bool = False,
    records: Sequence[str | Path] = (),
) -> StudyResult:
    """Resume the study in `folder`. Raises RunError where there is none, and as `run_study` does."""
    return run_study(read_spec(folder), folder, executor, storage=storage, quiet=quiet, records=records)


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
    write_record(study.path / RESULT, result)  # last: it stands for the rest
