"""Paired differences of two candidates, and how the order of several changes from one training length to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeVar

from convscale.errors import ConfigError
from convscale.statistics.estimates import MeanEstimate, Spread
from convscale.statistics.intervals import unnoised

Key = TypeVar("Key", bound=Hashable)

CANNOT_TELL = "cannot tell"


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


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> MeanEstimate:
    """a - b over their common seeds, with the noise of these alone. Raises ConfigError where they have none in common.

    One common seed shows no noise: the difference is then never certain.
    """
    common = a.keys() & b.keys()
    if not common:
        raise ConfigError("two candidates share no seed: their difference cannot be paired", hint="use the same seeds")
    values = [unnoised(a[seed] - b[seed]) for seed in sorted(common)]
    mean, degrees = math.fsum(values) / len(values), len(values) - 1
    squares = math.fsum((value - mean) ** 2 for value in values)
    spreads = (Spread(squares / degrees / len(values), degrees),) if degrees else ()
    return MeanEstimate(mean, spreads, len(values))


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


def order_changes(
    short: Mapping[Key, Mapping[int, float]],
    long: Mapping[Key, Mapping[int, float]],
    certain: Callable[[Key, Key], bool] | None = None,
) -> OrderChange:
    """How the order by mean accuracy changes between two training lengths, over the candidates that have both.

    Accuracies are by candidate, then seed. certain: whether two candidates differ for certain at both lengths; by
    default each pair is judged by its own paired differences.
    """

    def paired(a: Key, b: Key) -> bool:
        return all(paired_difference(by[a], by[b]).certain() for by in (short, long))

    common = [key for key in long if short.get(key) and long[key]]
    means = {key: (_mean(short[key]), _mean(long[key])) for key in common}
    swapped = certain_swaps = 0
    for a, b in combinations(common, 2):
        if unnoised(means[a][0] - means[b][0]) * unnoised(means[a][1] - means[b][1]) < 0:
            swapped += 1
            certain_swaps += (certain or paired)(a, b)
    tops = [max((means[key][side] for key in common), default=0.0) for side in (0, 1)]
    leading = [{key for key in common if not unnoised(means[key][side] - tops[side])} for side in (0, 1)]
    correlation = rank_correlation([means[key][0] for key in common], [means[key][1] for key in common])
    best_changes = bool(common) and not leading[0] & leading[1]  # a tie for the best is no change
    count = len(common)
    return OrderChange(count, count * (count - 1) // 2, swapped, certain_swaps, best_changes, correlation)


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
