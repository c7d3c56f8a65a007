"""The learning rates of a study's networks, chosen by short trainings that are trials themselves and run first,
in rounds: three rates of each network, then one beyond the outermost wherever that is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from convscale.records import RateChoice
from convscale.studies.designs import Design, Found, Point
from convscale.trials.trial import Trial, TrialRecord


def with_rates(designed: Design, run: Callable[[list[Trial]], Sequence[TrialRecord]]) -> Design:
    """The design with a learning rate for each network, where its study asks for that; `run` runs the trials of a
    round. A network whose short trainings all failed keeps the rate that they were around."""
    epochs = 0

    def accuracies(trials: list[Trial]) -> list[float | None]:
        nonlocal epochs
        epochs = trials[0].recipe.epochs
        return [None if record.result is None else record.result.accuracy for record in run(trials)]

    found = _scanned(designed, accuracies)
    return replace(designed, rates=tuple(_choice(point, epochs, rates) for point, rates in found.items()))


def further_at_most(designed: Design) -> list[Trial]:
    """The short trainings after the first ones if a greater rate were always better: as many as there can be."""
    every: list[Trial] = []

    def greater_is_better(trials: list[Trial]) -> list[float | None]:
        every.extend(trials)
        return [trial.recipe.learning_rate for trial in trials]

    _scanned(designed, greater_is_better)
    return every[len(designed.scans()) :]


def _scanned(designed: Design, judge: Callable[[list[Trial]], Sequence[float | None]]) -> Found:
    """Each network's rates and the accuracies that `judge` gives their trials, a round at a time."""
    found: dict[Point, dict[float, float | None]] = {}
    while scans := designed.scans(found):
        for (point, rate), accuracy in zip(scans, judge(list(scans.values())), strict=True):
            found.setdefault(point, {})[rate] = accuracy
    return found


def _choice(point: Point, epochs: int, found: Mapping[float, float | None]) -> RateChoice:
    chosen = max(found, key=lambda rate: -1.0 if (accuracy := found[rate]) is None else accuracy)  # the first of equals
    ordered = sorted(found)
    return RateChoice(
        baseline=point.baseline, method=point.method, asked=point.asked, network=point.network.name, epochs=epochs,
        rates=tuple(ordered), accuracies=tuple(found[rate] for rate in ordered), chosen=chosen,
    )  # fmt: skip


def stamped(record: TrialRecord, trial: Trial, designed: Design) -> TrialRecord:
    """The record with the learning rate of its trial, where that was tuned."""
    if record.result is None or not designed.rates:
        return record
    return replace(record, result=replace(record.result, learning_rate=trial.recipe.learning_rate))
