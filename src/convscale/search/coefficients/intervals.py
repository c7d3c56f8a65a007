"""What a search for alpha, beta and gamma found, and how sure it is."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from convscale.records import Candidate
from convscale.scaling import Scaling

RESAMPLES = 1000


def coefficients_of(candidate: Candidate, method: str) -> tuple[float, float, float]:
    """alpha, beta, gamma of a candidate: for the literal grid its own point, else what its network's actual growth
    is for a doubling of cost."""
    scaling: Scaling = candidate.scaling if method == "grid" else candidate.doubling
    return scaling.depth, scaling.width, scaling.resolution


def bootstrap(
    finalists: Sequence[tuple[tuple[float, float, float], Mapping[int, float]]], best: int, seed: int
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """95 % intervals of the winner's coefficients over `RESAMPLES` bootstrap draws of the paired seeds. Each finalist:
    its coefficients, its accuracies by seed. The interval holds the winner's own."""
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
