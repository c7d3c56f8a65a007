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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ALPHA = 0.05  # how often the set may miss the best candidate
DRAWS = 2000  # of the noise, from which critical values are taken
FEWEST = 4  # degrees of freedom that a length needs for a noise of its own
UNEQUAL = 0.05  # level of the test that all lengths have one noise
DRIFT_QUANTILE = 0.5  # the drift is the one under which these data's spread is this quantile
FLOOR = 1e-6  # a smaller standard deviation of accuracies is rounding


@dataclass(frozen=True, slots=True)
class Comparison:
    """can_be_best: the positions of the candidates among which the best one is in 95 % of searches. noise: by steps, the
    standard deviation of an accuracy over seeds; empty where there are too few seeds. drift: the standard deviation of
    what the difference of two candidates changes by while the length triples, None without a noise."""

    can_be_best: tuple[int, ...]
    noise: dict[int, float]
    drift: float | None


def compare(accuracies: Sequence[Mapping[int, Mapping[int, float]]], seed: int) -> Comparison:
    """Compare candidates, each given by its accuracies by steps, then seed, with the best of them (Hsu 1996). `seed` is
    that of the draws."""
    trainings = _Trainings(accuracies)
    noise, degrees = _noise(trainings)
    if not degrees or len(accuracies) == 1:
        return Comparison(tuple(range(len(accuracies))), {}, None)
    drift, surplus, interactions = _drift(trainings, noise)
    if not drift:  # the interactions are noise as well, and tell more of it
        noise = noise * math.sqrt((degrees + surplus) / (degrees + interactions))
        degrees += interactions
    means, covariance = _fit(trainings, noise, drift)
    kept = _can_be_best(means, covariance, degrees, seed)
    by_steps = dict(zip(trainings.lengths, (float(one) for one in noise), strict=True))
    return Comparison(tuple(kept), by_steps, math.sqrt(2 * drift * math.log(3)))


class _Trainings:
    """The trainings as arrays: of each its accuracy, and which length, candidate, block and cell (candidate at one
    length) it is of, as numbers and as columns of ones and zeros."""

    def __init__(self, accuracies: Sequence[Mapping[int, Mapping[int, float]]]) -> None:
        import numpy as np

        rows = [
            (steps, candidate, seed, accuracy)
            for candidate, by_steps in enumerate(accuracies)
            for steps, by_seed in by_steps.items()
            for seed, accuracy in by_seed.items()
        ]
        steps, candidate, seeds, accuracy = zip(*rows, strict=True)
        self.accuracy = np.array(accuracy, dtype=float)
        self.lengths = sorted(set(steps))
        self.length = np.searchsorted(self.lengths, steps)
        self.candidates = np.eye(len(accuracies))[np.array(candidate)]
        self.blocks, _ = _columns(list(zip(steps, seeds, strict=True)))
        self.cells, cells = _columns(list(zip(steps, candidate, strict=True)))
        # Covariance of the cells' drifts at a variance of 1: of one candidate's, what the longer of two still has ahead.
        ahead = np.log(self.lengths[-1] / np.array([steps for steps, _ in cells]))
        own = np.array([one for _, one in cells])
        self.walk = np.minimum.outer(ahead, ahead) * (own[:, None] == own[None, :])


def _columns(labels: Sequence[tuple[int, int]]) -> tuple[Floats, list[tuple[int, int]]]:
    """A column of ones and zeros for each different label, and the labels in their order."""
    import numpy as np

    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return np.eye(len(places))[[places[label] for label in labels]], list(places)


def _noise(trainings: _Trainings) -> tuple[Floats, int]:
    """The standard deviation of an accuracy over seeds at each length, and its degrees of freedom, 0 where there are
    none. One noise for all lengths unless Bartlett's test tells them apart; then the degrees of the least known."""
    import numpy as np
    from scipy.special import gammaincc

    squares, degrees = np.zeros(len(trainings.lengths)), np.zeros(len(trainings.lengths), dtype=int)
    for length in range(len(trainings.lengths)):
        there = trainings.length == length
        columns = _basis(np.hstack([trainings.blocks[there], trainings.cells[there]]))
        accuracy = trainings.accuracy[there]
        squares[length] = np.sum((accuracy - columns @ (columns.T @ accuracy)) ** 2)
        degrees[length] = len(accuracy) - columns.shape[1]
    total = int(degrees.sum())
    if not total:
        return np.zeros(len(squares)), 0
    pooled = max(squares.sum() / total, FLOOR**2)
    own = degrees >= FEWEST
    variances = np.where(own, np.maximum(squares / np.maximum(degrees, 1), FLOOR**2), pooled)
    few, many = degrees[own], variances[own]
    if len(few) > 1:
        together = (few * many).sum() / few.sum()
        statistic = few.sum() * math.log(together) - (few * np.log(many)).sum()
        statistic /= 1 + ((1 / few).sum() - 1 / few.sum()) / (3 * (len(few) - 1))
        if gammaincc((len(few) - 1) / 2, statistic / 2) < UNEQUAL:
            return np.sqrt(variances), int(few.min())
    return np.full(len(squares), math.sqrt(pooled)), total


def _drift(trainings: _Trainings, noise: Floats) -> tuple[float, float, int]:
    """The variance of drift per unit of log length: the one under which the interactions of candidates and lengths are
    as large as these in DRIFT_QUANTILE of cases, 0 where noise alone does that; their sum of squares, in units of the
    noise; their number."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import gammaincinv

    weights = 1 / noise[trainings.length][:, None]
    free = _basis(weights * np.hstack([trainings.blocks, trainings.cells]))
    fixed = _basis(weights * np.hstack([trainings.blocks, trainings.candidates]))
    left, singular, _ = np.linalg.svd(free - fixed @ (fixed.T @ free), full_matrices=False)
    interaction = left[:, singular > 0.5]  # what cells explain and candidates do not; the values are 0 or 1
    if not interaction.shape[1]:
        return 0.0, 0.0, 0
    drifts = interaction.T @ (weights * trainings.cells)
    spreads, axes = np.linalg.eigh(drifts @ trainings.walk @ drifts.T)
    squares = (axes.T @ (interaction.T @ (weights[:, 0] * trainings.accuracy))) ** 2
    expected = 2 * gammaincinv(len(squares) / 2, DRIFT_QUANTILE)

    def excess(variance: float) -> float:
        return float((squares / (1 + variance * spreads)).sum() - expected)

    if excess(0.0) <= 0:
        return 0.0, float(squares.sum()), len(squares)
    most = float(noise.max() ** 2)
    while excess(most) > 0:
        most *= 4
    return float(brentq(excess, 0.0, most, xtol=most * 1e-6)), float(squares.sum()), len(squares)


def _fit(trainings: _Trainings, noise: Floats, drift: float) -> tuple[Floats, Floats]:
    """The candidates' accuracies after the last length, less their mean, by generalised least squares, and their
    covariance."""
    import numpy as np

    unit = float(noise.max())
    covariance = np.diag((noise[trainings.length] / unit) ** 2)
    covariance += drift / unit**2 * trainings.cells @ trainings.walk @ trainings.cells.T
    root = np.linalg.cholesky(covariance)
    columns = np.linalg.solve(root, np.hstack([trainings.candidates, trainings.blocks]))
    inverse = np.linalg.pinv(columns)
    count = trainings.candidates.shape[1]
    centred = np.eye(count) - 1 / count
    rows = centred @ inverse[:count]
    return rows @ np.linalg.solve(root, trainings.accuracy), unit**2 * rows @ rows.T


def _can_be_best(means: Floats, covariance: Floats, degrees: int, seed: int) -> list[int]:
    """The candidates that no other one is ahead of by more than noise: each is judged by the largest of its standardised
    differences from all others, whose critical value is drawn for candidates that are equal. It lies between that of
    one difference and Bonferroni's, so that most need no draws."""
    import numpy as np
    from scipy.special import stdtrit

    generator = np.random.default_rng(seed)
    values, axes = np.linalg.eigh(covariance)
    draws = (axes * np.sqrt(np.maximum(values, 0))) @ generator.standard_normal((len(means), DRAWS))
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


def _basis(columns: Floats) -> Floats:
    """Orthonormal columns that span these."""
    import numpy as np

    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > 1e-9 * singular[0]]
