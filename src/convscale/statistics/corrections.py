"""Several comparisons at once: what is certain of all of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from convscale.statistics.estimates import MeanEstimate

POINTS = 60  # of the quadratures


def holm(estimates: Sequence[MeanEstimate], level: float = 0.05) -> list[float]:
    """The confidence of each estimate's interval with which any of them excludes a true zero in at most `level` of
    cases (Holm 1979): 1 - level / m for the smallest p-value of m, one comparison less for each next, until an interval
    holds zero; the rest have the confidence of that one."""
    confidences = [1.0] * len(estimates)
    left = len(estimates)
    for place in sorted(range(len(estimates)), key=lambda place: estimates[place].p_value):
        confidences[place] = 1 - level / max(1, left)
        left -= estimates[place].certain(confidences[place]) and left > 0
    return confidences


@lru_cache(maxsize=1000)
def dunnett(others: int, degrees: int, confidence: float = 0.95) -> float:
    """How many standard errors simultaneous intervals of one mean against `others` reach to each side (Dunnett 1955);
    means of equal counts share one variance with `degrees` of freedom."""
    from scipy.optimize import brentq
    from scipy.special import chdtri, ndtr, roots_hermitenorm

    nodes, weights = roots_hermitenorm(POINTS)
    total = sum(weights)
    scales = [math.sqrt(float(chdtri(degrees, (step + 0.5) / POINTS)) / degrees) for step in range(POINTS)]

    def beyond(reach: float) -> float:
        inside = 0.0
        for scale in scales:
            within = ndtr(nodes + math.sqrt(2) * reach * scale) - ndtr(nodes - math.sqrt(2) * reach * scale)
            inside += float((weights * within**others).sum()) / total / POINTS
        return inside - confidence

    return float(brentq(beyond, 0.0, 1000.0, xtol=1e-4))
