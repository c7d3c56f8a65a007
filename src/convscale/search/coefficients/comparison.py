"""Which candidates of a search can still be the best, though they were trained unequally.

All trainings are compared in one model:

    accuracy = candidate + block(length, seed) + drift(candidate, length) + noise(length)

A block is whatever the candidates trained from one seed for one length share. The noise is that of another seed, pooled
over all candidates. Drift is how far a candidate's lead after a shorter training is from its lead after the longest: a
random walk in the logarithm of the length, whose size the candidates trained for several lengths show. So a candidate
that halving left out is judged by the trainings it had, and these count for less the more the order of candidates
changes with the length. docs/decisions/0027 says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convscale.statistics import Spread, bartlett

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05  # how often the set may miss the best candidate
DRAWS = 2000  # of the noise, from which critical values are taken
FEWEST = 4  # degrees of freedom that a length needs for a noise of its own
UNEQUAL = 0.05  # level of the test that all lengths have one noise
DRIFT_QUANTILE = 0.5  # the drift is the one under which these data's spread is this quantile
FLOOR = 1e-6  # a smaller standard deviation of accuracies is rounding


@dataclass(frozen=True, slots=True)
class Comparison:
    """can_be_best: the positions of the candidates among which the best one is in 95 % of searches. noise: by steps,
    the standard deviation of an accuracy over seeds; empty where there are too few seeds. drift: the standard deviation
    of what the difference of two candidates changes by while the length triples, None where there is no noise."""

    can_be_best: tuple[int, ...]
    noise: dict[int, float]
    drift: float | None


def compare(accuracies: Sequence[Mapping[int, Mapping[int, float]]], seed: int) -> Comparison:
    """Compare candidates, each given by its accuracies by steps, then seed, with the best of them (Hsu 1996). `seed` is
    that of the draws."""
    count = len(accuracies)
    lengths = sorted({steps for by_steps in accuracies for steps in by_steps})
    within = [_within([by_steps.get(steps, {}) for by_steps in accuracies]) for steps in lengths]
    noise, degrees = _noise(within)
    if not degrees or count == 1:
        return Comparison(tuple(range(count)), {}, None)
    contrasts = _contrasts(lengths, within, noise)
    drift, surplus, interactions = _drift(contrasts)
    if not drift:  # the interactions are noise as well, and tell more of it
        pooled = math.sqrt((degrees + surplus) / (degrees + interactions))
        noise, degrees = [one * pooled for one in noise], degrees + interactions
        contrasts = _contrasts(lengths, within, noise)
    means, covariance = _fit(contrasts, drift)
    kept = _can_be_best(means, covariance, degrees, seed)
    return Comparison(tuple(kept), dict(zip(lengths, noise, strict=True)), math.sqrt(2 * drift * math.log(3)))


@dataclass(frozen=True, slots=True)
class _Within:
    """What the trainings of one length say of the differences between candidates: independent contrasts (rows) of these
    (columns), their values, all with the noise of one training; the sum of squares and the degrees of freedom left."""

    contrasts: Floats
    values: Floats
    squares: float
    degrees: int


def _within(by_candidate: Sequence[Mapping[int, float]]) -> _Within:
    """Reduce the accuracies of one length, by candidate, then seed, to what is left when each seed's effect on all is
    taken out."""
    import numpy as np

    seeds = sorted({seed for by_seed in by_candidate for seed in by_seed})
    accuracy = np.array([[by_seed.get(seed, np.nan) for seed in seeds] for by_seed in by_candidate])
    there = ~np.isnan(accuracy)
    blocks = there.sum(axis=0)
    left = np.where(there, accuracy - np.nansum(accuracy, axis=0) / blocks, 0.0)
    information = np.diag(there.sum(axis=1)) - (there / blocks) @ there.T
    values, axes = np.linalg.eigh(information)
    known = values > 1e-9 * len(by_candidate)
    root, axes = np.sqrt(values[known]), axes[:, known]
    contrasts = axes.T @ left.sum(axis=1) / root
    squares = float((left**2).sum() - (contrasts**2).sum())
    degrees = int(there.sum() - len(seeds) - known.sum())
    return _Within(root[:, None] * axes.T, contrasts, max(squares, 0.0), degrees)


def _noise(within: Sequence[_Within]) -> tuple[list[float], int]:
    """The standard deviation of an accuracy over seeds at each length, and its degrees of freedom, 0 where there are
    none. One noise for all lengths unless Bartlett's test tells them apart; then the degrees of the least known."""
    total = sum(one.degrees for one in within)
    if not total:
        return [0.0] * len(within), 0
    pooled = max(sum(one.squares for one in within) / total, FLOOR**2)
    own = [Spread(max(one.squares / one.degrees, FLOOR**2), one.degrees) for one in within if one.degrees >= FEWEST]
    if len(own) > 1 and bartlett(own) < UNEQUAL:
        variances = [one.squares / one.degrees if one.degrees >= FEWEST else pooled for one in within]
        degrees = min(one.degrees for one in within if one.degrees >= FEWEST)
        return [max(math.sqrt(one), FLOOR) for one in variances], degrees
    return [math.sqrt(pooled)] * len(within), total


@dataclass(frozen=True, slots=True)
class _Contrasts:
    """The contrasts of all lengths and their values in units of the noise, the covariance of what drift adds to them at
    a variance of 1, and the noise."""

    contrasts: Floats
    values: Floats
    walk: Floats
    noise: float


def _contrasts(lengths: Sequence[int], within: Sequence[_Within], noise: Sequence[float]) -> _Contrasts:
    import numpy as np

    unit = max(noise)
    contrasts = np.vstack([one.contrasts * unit / own for one, own in zip(within, noise, strict=True)])
    values = np.concatenate([one.values / own for one, own in zip(within, noise, strict=True)])
    # A candidate's drift at a length is the walk that is still ahead of it: the longer of two lengths has it in common.
    ahead = np.concatenate(
        [np.full(len(one.values), math.log(lengths[-1] / steps)) for steps, one in zip(lengths, within, strict=True)]
    )
    return _Contrasts(contrasts, values, contrasts @ contrasts.T * np.minimum.outer(ahead, ahead), unit)


def _drift(data: _Contrasts) -> tuple[float, float, int]:
    """The variance of drift per unit of log length: the one under which the interactions of candidates and lengths are
    as large as these in DRIFT_QUANTILE of cases, 0 where noise alone does that; their sum of squares, in units of the
    noise; their number."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import gammaincinv

    left, singular, _ = np.linalg.svd(data.contrasts)
    interactions = left[:, int((singular > 1e-9 * singular[0]).sum()) :]
    if not interactions.shape[1]:
        return 0.0, 0.0, 0
    spreads, axes = np.linalg.eigh(interactions.T @ data.walk @ interactions)
    squares = (axes.T @ (interactions.T @ data.values)) ** 2
    total, expected = float(squares.sum()), float(2 * gammaincinv(len(squares) / 2, DRIFT_QUANTILE))

    def excess(variance: float) -> float:
        return float((squares / (1 + variance * spreads)).sum() - expected)

    if total <= expected:
        return 0.0, total, len(squares)
    most = 1.0
    while excess(most) > 0:
        most *= 4
    return float(brentq(excess, 0.0, most, xtol=most * 1e-6)) * data.noise**2, total, len(squares)


def _fit(data: _Contrasts, drift: float) -> tuple[Floats, Floats]:
    """The candidates' accuracies after the last length, less their mean, by generalised least squares, and their
    covariance."""
    import numpy as np

    root = np.linalg.cholesky(np.eye(len(data.values)) + drift / data.noise**2 * data.walk)
    inverse = np.linalg.pinv(np.linalg.solve(root, data.contrasts))
    means = inverse @ np.linalg.solve(root, data.values)
    return means * data.noise, inverse @ inverse.T * data.noise**2


def _can_be_best(means: Floats, covariance: Floats, degrees: int, seed: int) -> list[int]:
    """The candidates that no other one is ahead of by more than noise: each is judged by the largest of its
    standardised differences from all others, whose critical value is drawn for candidates that are equal. It lies
    between that of one difference and Bonferroni's, so that most need no draws."""
    import numpy as np
    from scipy.special import stdtrit

    generator = np.random.default_rng(seed)
    values, axes = np.linalg.eigh(covariance)
    draws = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T @ generator.standard_normal((len(means), DRAWS))
    draws /= np.sqrt(generator.chisquare(degrees, DRAWS) / degrees)
    variances = np.diag(covariance)
    least, most = stdtrit(degrees, 1 - ALPHA), stdtrit(degrees, 1 - ALPHA / (len(means) - 1))
    kept = []
    for one in range(len(means)):
        errors = np.sqrt(np.maximum(variances[one] + variances - 2 * covariance[one], FLOOR**4))
        behind = ((means - means[one]) / errors).max()
        if behind > most:
            continue
        if behind <= least or (((draws - draws[one]) / errors[:, None]).max(axis=0) >= behind).mean() > ALPHA:
            kept.append(one)
    return kept
