"""The statistics that a search decides by: intervals, paired differences, orders."""

from __future__ import annotations

import math

import pytest
from scipy import stats as scipy_stats

from convscale.errors import ConfigError
from convscale.statistics import CANNOT_TELL, mean_interval, order_changes, paired_difference, rank_correlation


def test_intervals_are_those_of_students_t() -> None:
    values = [0.51, 0.55, 0.48, 0.52]
    interval = mean_interval(values)
    low, high = scipy_stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=scipy_stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert mean_interval([0.5]).interval95 is None
    with pytest.raises(ConfigError, match="mean of 0 values"):
        mean_interval([])
    with pytest.raises(ConfigError, match="finite"):
        mean_interval([0.5, math.nan])


def test_a_paired_difference_uses_common_seeds_and_says_when_it_cannot_tell() -> None:
    a = {0: 0.70, 1: 0.60, 2: 0.65, 7: 0.1}
    b = {0: 0.68, 1: 0.581, 2: 0.631, 9: 0.9}
    difference = paired_difference(a, b)
    assert difference.pairs == 3
    assert difference.mean == pytest.approx(0.0193, abs=1e-4)
    assert difference.verdict == "a is better"
    assert paired_difference(b, a).verdict == "b is better"
    assert paired_difference({0: 0.7}, {0: 0.1}).verdict == CANNOT_TELL
    assert paired_difference(a, a).verdict == CANNOT_TELL
    with pytest.raises(ConfigError, match="share no seed"):
        paired_difference({0: 0.5}, {1: 0.5})


def test_rank_correlation_is_spearmans() -> None:
    a, b = [0.1, 0.4, 0.4, 0.2, 0.9], [3.0, 1.0, 5.0, 5.0, 4.0]
    assert rank_correlation(a, b) == pytest.approx(scipy_stats.spearmanr(a, b).statistic)
    assert rank_correlation([1, 2], [2, 1]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    with pytest.raises(ConfigError, match="ranked"):
        rank_correlation([1, 2, 3], [1, 2])


def test_order_changes_tell_a_real_swap_from_a_doubtful_one() -> None:
    short = {"w": {0: 0.515, 1: 0.511}, "c": {0: 0.481, 1: 0.478}, "d": {0: 0.40, 1: 0.41}}
    long = {"w": {0: 0.65, 1: 0.651}, "c": {0: 0.67, 1: 0.6705}, "d": {0: 0.5, 1: 0.5}}
    change = order_changes(short, long)
    assert (change.candidates, change.pairs, change.swapped, change.best_changes) == (3, 3, 1, True)
    assert change.certain_swaps == 1
    doubtful = order_changes(short, {**long, "c": {0: 0.60, 1: 0.7205}})
    assert (doubtful.swapped, doubtful.certain_swaps) == (1, 0)
    assert order_changes({}, long).rank_correlation is None
