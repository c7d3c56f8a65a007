"""status: how far a study is, from its folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convscale.costs import cost
from convscale.errors import ConfigError, RunError
from convscale.progress import print_note
from convscale.records import read_as
from convscale.runs import Run, read_progress
from convscale.trials.folders import StudyFolder, TrialFolder, is_held
from convscale.trials.trial import TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialState:
    """How far a trial is. accuracy: the result's, or the last epoch's of an unfinished one, a fraction. seconds_left:
    of a running one, by its pace so far; None where that is not known. interval95 to precision: the result's, None
    where there is none or it does not say. learning_rate: the result's, or else the recipe's. taken_from: the file that
    a finished one was taken from."""

    number: int
    key: str
    network: str
    seed: int
    state: Literal["waiting", "running", "interrupted", "finished", "failed"]
    attempts: int
    epoch: int
    epochs: int
    steps: int
    accuracy: float | None
    device_seconds: float
    reason: str
    seconds_left: float | None = None
    resolution: int
    macs: int
    params: int
    interval95: tuple[float, float] | None = None
    images: int | None = None
    device: str | None = None
    precision: str | None = None
    learning_rate: float | None = None
    taken_from: str = ""


def study_status(folder: str | Path) -> list[TrialState]:
    """How far each trial of a study is; reads only. Raises RunError where there is no study."""
    folder = Path(folder)
    require_study(folder)
    alive = is_held(folder)
    return [_state(one, alive) for one in StudyFolder(folder).trials()]


def ended(study: StudyFolder) -> Iterator[tuple[TrialFolder, TrialRecord]]:
    """The trials that have ended; reads only. Damaged records are reported and left out."""
    for folder in study.trials():
        file = folder.path / "record.json"
        try:
            if file.exists():
                yield folder, read_as(TrialRecord, file)
        except ConfigError as error:
            print_note(f"left out: {error.message}")


def require_study(folder: Path) -> None:
    """Raise RunError where there is no study, nor a search or a family that is trained."""
    if not (folder / "settings.json").exists() and not (folder / "trials").is_dir():
        raise RunError(f"{folder}: no study here", hint="create one with: convscale study run NAME -o DIR")


def _state(folder: TrialFolder, alive: bool) -> TrialState:
    trial, file = folder.read(), folder.path / "record.json"
    record = read_as(TrialRecord, file) if file.exists() else None
    attempts = folder.attempts()
    newest = folder.newest_run()
    epochs = [] if newest is None else Run(newest).metrics()
    result = record.result if record else None
    state: Literal["waiting", "running", "interrupted", "finished", "failed"]
    if record is not None:
        state = "finished" if result else "failed"
    else:
        state = ("running" if alive else "interrupted") if attempts else "waiting"
    last = epochs[-1] if epochs else None
    costs = cost(trial.network)
    return TrialState(
        number=folder.number,
        key=trial.key,
        network=trial.network.name,
        seed=trial.seed,
        state=state,
        attempts=record.attempts if record else max(attempts, default=0),
        epoch=trial.recipe.epochs if result else last.epoch if last else 0,
        epochs=trial.recipe.epochs,
        steps=result.steps if result else last.steps if last else 0,
        accuracy=result.accuracy if result else last.top1 if last else None,
        device_seconds=result.device_seconds if result else sum(one.seconds for one in epochs),
        reason=record.failure if record else "",
        seconds_left=_seconds_left(newest) if state == "running" and newest is not None else None,
        resolution=trial.network.resolution,
        macs=costs.macs,
        params=costs.params,
        interval95=result.interval95 if result else None,
        images=(result.images or None) if result else None,
        device=(result.device or None) if result else None,
        precision=(result.precision or None) if result else None,
        learning_rate=(result.learning_rate if result else None) or trial.recipe.learning_rate,
        taken_from=record.taken_from if record else "",
    )


def _seconds_left(run: Path) -> float | None:
    progress = read_progress(run)
    return None if progress is None else progress.seconds_left
