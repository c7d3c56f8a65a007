"""Means and proportions with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from convscale.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval by Student's t; `interval95` is None where one value gives none."""

    mean: float
    interval95: tuple[float, float] | None
    count: int

    @property
    def low(self) -> float | None:
        """The lower end."""
        return None if self.interval95 is None else self.interval95[0]

    @property
    def high(self) -> float | None:
        """The upper end."""
        return None if self.interval95 is None else self.interval95[1]


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of values with its 95 % interval by Student's t. Raises ConfigError for none or non-finite ones."""
    if not values or not all(math.isfinite(value) for value in values):
        raise ConfigError(f"a mean of {len(values)} values cannot be taken", hint="finite values, at least one")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Interval(mean, None, 1)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = student_t(len(values) - 1) * spread / math.sqrt(len(values))
    return Interval(mean, (mean - half, mean + half), len(values))


def accuracy_interval(accuracies: Sequence[float]) -> Interval:
    """As `mean_interval`, of accuracies: the interval ends at 0 and 1. Raises as it does."""
    found = mean_interval(accuracies)
    return Interval(found.mean, within_unit(found.interval95), found.count)


def within_unit(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """The interval of a proportion, cut off at 0 and 1."""
    return None if interval is None else (min(max(interval[0], 0.0), 1.0), min(max(interval[1], 0.0), 1.0))


def unnoised(value: float) -> float:
    """A difference of accuracies below float precision is none."""
    return 0.0 if abs(value) < 1e-12 else value


@lru_cache(maxsize=10_000)
def student_t(degrees: float, confidence: float = 0.95) -> float:
    """How many standard errors an interval of this confidence reaches to each side of a mean, by Student's t."""
    from scipy.special import stdtrit  # takes a fifth of a second to load

    return float(stdtrit(degrees, (1 + confidence) / 2))


def wilson_interval(correct: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927); stays within 0 and 1 near the ends."""
    if n == 0:
        return 0.0, 1.0
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_per_class(classes: Sequence[tuple[float | None, int]]) -> tuple[float, tuple[float, float]]:
    """The mean of the classes' top-1, each given with its number of images and counted once, and its 95 % interval.

    Classes without images are left out; one at least must have some. Each end of the interval is the wider of two. The
    first combines the classes' own Wilson intervals (MOVER, Zou and Donner 2008), which holds where small classes are
    the hard ones. The second is Wilson's for as many images as k classes of equal size would need to show the mean as
    well, k^2 / sum(1 / n), which holds where many classes are small. The interval takes the classes as they are, not as
    a sample of other classes.
    """
    counted = [(top1, n) for top1, n in classes if top1 is not None]
    k = len(counted)
    mean = sum(top1 for top1, _ in counted) / k
    own = [wilson_interval(top1 * n, n) for top1, n in counted]
    below = math.hypot(*(top1 - low for (top1, _), (low, _) in zip(counted, own, strict=True))) / k
    above = math.hypot(*(high - top1 for (top1, _), (_, high) in zip(counted, own, strict=True))) / k
    images = k**2 / sum(1 / n for _, n in counted)
    low, high = wilson_interval(mean * images, images)
    return mean, (max(0.0, min(low, mean - below)), min(1.0, max(high, mean + above)))
