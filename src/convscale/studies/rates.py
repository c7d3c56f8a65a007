"""The learning rates of a study's networks, chosen by short trainings that are trials themselves and run first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from convscale.records import RateChoice
from convscale.studies.designs import Design, Point
from convscale.trials.trial import Trial, TrialRecord


def with_rates(designed: Design, run: Callable[[list[Trial]], Sequence[TrialRecord]]) -> Design:
    """The design with a learning rate for each network, where its study asks for that; `run` runs the trials. A network
    whose short trainings all failed keeps the rate that they were around."""
    scans = designed.scans()
    if not scans:
        return designed
    records = dict(zip(scans, run(list(scans.values())), strict=True))
    epochs = next(iter(scans.values())).recipe.epochs
    return replace(designed, rates=tuple(_choice(point, epochs, records) for point in designed.points))


def _choice(point: Point, epochs: int, records: dict[tuple[Point, float], TrialRecord]) -> RateChoice:
    found = {
        rate: None if record.result is None else record.result.accuracy
        for (of, rate), record in records.items()
        if of == point
    }
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
