"""What a search for alpha, beta and gamma found, and how sure it is."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from convscale.scaling import Scaling, ScalingLaw, compound_law
from convscale.search.candidates import Candidate, Shares
from convscale.search.statistics import OrderChange

State = Literal["finalist", "pruned", "failed"]

NAMES = ("alpha", "beta", "gamma")
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class SearchedCandidate:
    """A candidate with what became of it.

    accuracies: steps -> seed -> held-out accuracy, a fraction. steps, accuracy, interval95 and seeds (a count) are of
    the greatest length that it was trained at, the first two 0 and None where it never finished a training.
    """

    candidate: Candidate
    state: State
    failure: str
    accuracies: dict[int, dict[int, float]]
    steps: int
    accuracy: float | None
    interval95: tuple[float, float] | None
    seeds: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        one = self.candidate
        means = {str(steps): sum(by.values()) / len(by) for steps, by in sorted(self.accuracies.items()) if by}
        return {
            "shares": _named(one.shares),
            "actual_shares": _named(one.actual),
            "scaling": one.scaling.as_dict(),
            "network": one.network.name,
            "macs": one.macs,
            "cost_ratio": one.cost_ratio,
            "accuracy": self.accuracy,
            "interval95": None if self.interval95 is None else list(self.interval95),
            "seeds": self.seeds,
            "steps": self.steps,
            "accuracy_by_steps": means,
            "state": self.state,
            "failure": self.failure,
        }


@dataclass(frozen=True, slots=True)
class CoefficientSearch:
    """alpha, beta and gamma for a doubling of cost, with the evidence.

    interval95: of each coefficient, over which finalist wins when seeds are drawn again, and over those that cannot
    be told from the best; it knows nothing of candidates that halving left out. equivalent: the finalists whose paired
    difference from the best holds zero, the best first. trusted: the rank correlation of probed candidates between
    each length that was looked at and the last; first_length is where halving began by it. order: how the order of
    candidates changes between the two greatest lengths. training_macs: MACs of one image forward times steps, summed;
    full_grid_training_macs is what every candidate at the greatest length from every final seed costs,
    full_grid_device_seconds an estimate by proportion.
    """

    baseline: str
    method: str
    cost: float
    lengths: tuple[int, ...]
    best: SearchedCandidate
    coefficients: tuple[float, float, float]
    interval95: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    equivalent: tuple[SearchedCandidate, ...]
    candidates: tuple[SearchedCandidate, ...]
    unreachable: tuple[tuple[Shares, str], ...]
    merged: int
    trusted: dict[int, float | None]
    first_length: int
    order: OrderChange
    device_seconds: float
    full_grid_device_seconds: float
    training_macs: int
    full_grid_training_macs: int
    trainings: int

    @property
    def alpha(self) -> float:
        """Growth of depth for a doubling of cost."""
        return self.coefficients[0]

    @property
    def beta(self) -> float:
        """Growth of width for a doubling of cost."""
        return self.coefficients[1]

    @property
    def gamma(self) -> float:
        """Growth of resolution for a doubling of cost."""
        return self.coefficients[2]

    @property
    def share_of_full_grid(self) -> float:
        """What the search cost, of the full grid's training cost."""
        return self.training_macs / self.full_grid_training_macs

    def law(self) -> ScalingLaw:
        """The compound law of what was found."""
        return compound_law(*self.coefficients)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: alpha, beta, gamma, interval95, equivalent, candidates, device_seconds, and the evidence."""
        return {
            **dict(zip(NAMES, self.coefficients, strict=True)),
            "interval95": {name: list(ends) for name, ends in zip(NAMES, self.interval95, strict=True)},
            "equivalent": [_named(one.candidate.shares) for one in self.equivalent],
            "candidates": [one.as_dict() for one in self.candidates],
            "device_seconds": self.device_seconds,
            "full_grid_device_seconds": self.full_grid_device_seconds,
            "training_macs": self.training_macs,
            "full_grid_training_macs": self.full_grid_training_macs,
            "share_of_full_grid": self.share_of_full_grid,
            "trainings": self.trainings,
            "baseline": self.baseline,
            "method": self.method,
            "cost": self.cost,
            "lengths": list(self.lengths),
            "first_length": self.first_length,
            "rank_correlation": {str(steps): value for steps, value in self.trusted.items()},
            "order": {
                "candidates": self.order.candidates,
                "pairs": self.order.pairs,
                "swapped": self.order.swapped,
                "told": self.order.told,
                "best_changes": self.order.best_changes,
                "rank_correlation": self.order.rank_correlation,
            },
            "unreachable": [{"shares": _named(shares), "reason": reason} for shares, reason in self.unreachable],
            "merged": self.merged,
        }


def coefficients_of(candidate: Candidate, method: str) -> tuple[float, float, float]:
    """alpha, beta, gamma of a candidate: for the literal grid its own point, else what its network's actual growth
    is for a doubling of cost."""
    scaling: Scaling = candidate.scaling if method == "grid" else candidate.doubling
    return scaling.depth, scaling.width, scaling.resolution


def bootstrap(
    finalists: Sequence[tuple[tuple[float, float, float], Mapping[int, float]]], best: int, seed: int
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """95 % intervals of the winner's coefficients when the paired seeds are drawn again, `RESAMPLES` times. Each
    finalist: its coefficients, its accuracies by seed. The interval holds the winner's own."""
    common = sorted(set.intersection(*(set(accuracies) for _, accuracies in finalists)))
    generator = random.Random(f"bootstrap of {seed}")
    winners = [finalists[best][0]]
    for _ in range(RESAMPLES if common else 0):
        drawn = generator.choices(common, k=len(common))
        totals = [sum(accuracies[one] for one in drawn) for _, accuracies in finalists]
        winners.append(finalists[best if totals[best] == max(totals) else totals.index(max(totals))][0])
    low, high = int(0.025 * len(winners)), int(0.975 * len(winners))

    def ends(dimension: int) -> tuple[float, float]:
        values = sorted(winner[dimension] for winner in winners)
        own = finalists[best][0][dimension]
        return min(values[low], own), max(values[high], own)

    return ends(0), ends(1), ends(2)


def intervals(
    drawn: tuple[tuple[float, float], tuple[float, float], tuple[float, float]],
    equivalent: Sequence[tuple[float, float, float]],
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """The intervals `drawn`, as wide as they must be to hold the coefficients of all `equivalent` finalists."""

    def ends(dimension: int) -> tuple[float, float]:
        values = [coefficients[dimension] for coefficients in equivalent]
        return min(drawn[dimension][0], *values), max(drawn[dimension][1], *values)

    return ends(0), ends(1), ends(2)


def _named(values: Shares) -> dict[str, float]:
    return dict(zip(("depth", "width", "resolution"), values, strict=True))
