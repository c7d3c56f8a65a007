"""Means with the variances that they may have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convscale.statistics.intervals import student_t, unnoised


@dataclass(frozen=True, slots=True)
class Spread:
    """An estimate of a variance, and its degrees of freedom."""

    variance: float
    degrees: float

    def half(self, confidence: float) -> float:
        """How far an interval of this confidence reaches to each side."""
        return student_t(self.degrees, confidence) * math.sqrt(self.variance) if self.variance else 0.0


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean, and the variances that it may have: its interval is the widest that one of them gives, None without any.
    count: the trainings, or pairs of them, that it is the mean of."""

    mean: float
    spreads: tuple[Spread, ...]
    count: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """The interval of this confidence."""
        if not self.spreads:
            return None
        half = max(spread.half(confidence) for spread in self.spreads)
        return self.mean - half, self.mean + half

    def certain(self, confidence: float = 0.95) -> bool:
        """Whether the interval of this confidence excludes zero."""
        interval = self.interval(confidence)
        return interval is not None and not interval[0] <= 0 <= interval[1]

    @property
    def p_value(self) -> float:
        """Of no difference from zero: the level at which the interval would begin to exclude it."""
        from scipy.special import stdtr

        if not self.spreads or self.mean == 0:
            return 1.0
        distances = [
            (spread.degrees, abs(self.mean) / math.sqrt(spread.variance)) for spread in self.spreads if spread.variance
        ]
        return max((2 * float(stdtr(degrees, -distance)) for degrees, distance in distances), default=0.0)

    def minus(self, other: MeanEstimate) -> MeanEstimate:
        """The difference of two independent estimates."""
        mean, count = unnoised(self.mean - other.mean), min(self.count, other.count)
        if not (self.spreads and other.spreads):
            return MeanEstimate(mean, (), count)
        widest = [max(one.spreads, key=lambda spread: spread.half(0.95)) for one in (self, other)]
        return MeanEstimate(mean, (sum_of(*widest),), count)


def sum_of(a: Spread, b: Spread) -> Spread:
    """The variance of a sum or difference of two independent values, its degrees of freedom by Satterthwaite."""
    total = a.variance + b.variance
    if not total:
        return Spread(0.0, min(a.degrees, b.degrees))
    return Spread(total, total**2 / (a.variance**2 / a.degrees + b.variance**2 / b.degrees))


def bartlett(spreads: Sequence[Spread]) -> float:
    """The p-value of Bartlett's test that two or more variances are equal."""
    from scipy.special import chdtrc

    total = sum(one.degrees for one in spreads)
    pooled = sum(one.variance * one.degrees for one in spreads) / total
    statistic = sum(one.degrees * math.log(pooled / one.variance) for one in spreads)
    correction = 1 + (sum(1 / one.degrees for one in spreads) - 1 / total) / (3 * (len(spreads) - 1))
    return float(chdtrc(len(spreads) - 1, max(0.0, statistic) / correction))
