"""Learning rates that short trainings chose for the networks of a study."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChoice:
    """The learning rate of one network of a study, chosen by short trainings on drawn images. accuracies: of `rates`,
    fractions, None where a training failed."""

    baseline: str
    method: str
    asked: float | None
    network: str
    epochs: int
    rates: tuple[float, ...]
    accuracies: tuple[float | None, ...]
    chosen: float
