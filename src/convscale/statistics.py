"""Means, paired differences and orders, with what can be told from a few seeds and what cannot."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeVar

from convscale.errors import ConfigError

Key = TypeVar("Key", bound=Hashable)

CANNOT_TELL = "cannot tell"


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


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of a - b over the seeds that both have, and its 95 % interval."""

    mean: float
    interval95: tuple[float, float] | None
    pairs: int

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero; never with fewer than two pairs."""
        return self.interval95 is not None and not self.interval95[0] <= 0 <= self.interval95[1]

    @property
    def verdict(self) -> str:
        """ "a is better", "b is better" or "cannot tell"."""
        if not self.certain:
            return CANNOT_TELL
        return "a is better" if self.mean > 0 else "b is better"


@dataclass(frozen=True, slots=True)
class OrderChange:
    """How the order of candidates moves from one training length to another.

    swapped: of `pairs` pairs, those that swap places. certain_swaps: of these, the ones whose paired difference
    excludes zero at both lengths. rank_correlation: Spearman's, None where it is undefined.
    """

    candidates: int
    pairs: int
    swapped: int
    certain_swaps: int = field(metadata={"key": "told"})
    best_changes: bool
    rank_correlation: float | None


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


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """a - b over their common seeds. Raises ConfigError where they have none in common."""
    common = sorted(a.keys() & b.keys())
    if not common:
        raise ConfigError("two candidates share no seed: their difference cannot be paired", hint="use the same seeds")
    interval = mean_interval([_unnoised(a[seed] - b[seed]) for seed in common])
    return Difference(interval.mean, interval.interval95, len(common))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; None for fewer than three values or where one
    side is all equal. Raises ConfigError for different lengths."""
    if len(a) != len(b):
        raise ConfigError(f"{len(a)} values cannot be ranked against {len(b)}")
    if len(a) < 3:
        return None
    x, y = _ranks(a), _ranks(b)
    mean = (len(a) + 1) / 2
    xx = sum((rank - mean) ** 2 for rank in x)
    yy = sum((rank - mean) ** 2 for rank in y)
    if xx == 0 or yy == 0:
        return None
    return sum((r - mean) * (s - mean) for r, s in zip(x, y, strict=True)) / math.sqrt(xx * yy)


def order_changes(short: Mapping[Key, Mapping[int, float]], long: Mapping[Key, Mapping[int, float]]) -> OrderChange:
    """How the order by mean accuracy changes between two training lengths, over the candidates that have both.
    Accuracies are by candidate, then seed."""
    common = [key for key in long if short.get(key) and long[key]]
    means = {key: (_mean(short[key]), _mean(long[key])) for key in common}
    swapped = certain_swaps = 0
    for a, b in combinations(common, 2):
        if _unnoised(means[a][0] - means[b][0]) * _unnoised(means[a][1] - means[b][1]) < 0:
            swapped += 1
            certain_swaps += all(paired_difference(by[a], by[b]).certain for by in (short, long))
    tops = [max((means[key][side] for key in common), default=0.0) for side in (0, 1)]
    leading = [{key for key in common if not _unnoised(means[key][side] - tops[side])} for side in (0, 1)]
    correlation = rank_correlation([means[key][0] for key in common], [means[key][1] for key in common])
    best_changes = bool(common) and not leading[0] & leading[1]  # a tie for the best is no change
    count = len(common)
    return OrderChange(count, count * (count - 1) // 2, swapped, certain_swaps, best_changes, correlation)


def _unnoised(value: float) -> float:
    """A difference of accuracies below float precision is none."""
    return 0.0 if abs(value) < 1e-12 else value


def _mean(values: Mapping[int, float]) -> float:
    return math.fsum(values.values()) / len(values)


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for index in order[start : end + 1]:
            ranks[index] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.stats import t  # takes half a second to load

    return float(t.ppf(0.975, degrees))


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

    Classes without images are left out; one at least must have some. The interval is Wilson's for as many images as
    k classes of equal size would need to tell the mean as well, k^2 / sum(1 / n): that of top-1 where all are equally
    large, wider where some are small. It takes the classes as they are, not as a sample of other classes.
    """
    counted = [(top1, n) for top1, n in classes if top1 is not None]
    mean = sum(top1 for top1, _ in counted) / len(counted)
    images = len(counted) ** 2 / sum(1 / n for _, n in counted)
    return mean, wilson_interval(mean * images, images)
