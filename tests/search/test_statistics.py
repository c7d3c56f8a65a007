"""The statistics that a search decides by: intervals, paired differences, orders."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats as scipy_stats

from convscale.errors import ConfigError
from convscale.statistics import (
    MeanEstimate,
    PooledNoise,
    Spread,
    accuracy_interval,
    bartlett,
    dunnett,
    holm,
    mean_interval,
    mean_per_class,
    order_changes,
    paired_difference,
    rank_correlation,
    student_t,
)


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
    assert difference.count == 3
    assert difference.mean == pytest.approx(0.0193, abs=1e-4)
    assert difference.certain() and difference.interval() == pytest.approx((0.0179, 0.0208), abs=1e-4)
    assert not paired_difference({0: 0.7}, {0: 0.1}).certain()
    assert not paired_difference(a, a).certain()
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


# Noise pooled over many networks, and comparisons corrected together


def layout(networks: int, seeds: int, noise: float = 0.004, shared: float = 0.0) -> list[dict[int, float]]:
    generator = random.Random(networks * 100 + seeds)
    effects = [generator.gauss(0, shared) for _ in range(seeds)]
    return [
        {seed: 0.6 + place / 100 + effects[seed] + generator.gauss(0, noise) for seed in range(seeds)}
        for place in range(networks)
    ]


def test_three_seeds_of_ten_networks_are_worth_twenty_degrees_of_freedom() -> None:
    cells = layout(10, 3)
    noise = PooledNoise(cells, {}, range(10))
    values = np.array([list(one.values()) for one in cells])
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    assert noise.every == Spread(pytest.approx((left**2).sum() / 18), 18)
    assert noise.row_spread.variance == pytest.approx(values.var(1, ddof=1).mean())
    assert 15 < noise.row_spread.degrees <= 20
    low, high = noise.difference(0, 1).interval()  # type: ignore[union-attr]
    own = sum((left[place] ** 2).sum() / 1.8 for place in (0, 1))  # two networks count a little more than the rest
    variance = 0.9 * 2 * noise.every.variance + 0.1 * own
    degrees = 1 / sum((0.09 + 0.05 * (place < 2)) ** 2 / 1.8 for place in range(10))
    half = scipy_stats.t.ppf(0.975, degrees) * math.sqrt(variance / 3)
    assert 16 < degrees < 18 and high - low == pytest.approx(2 * half)


def test_what_seeds_share_widens_rows_but_no_difference() -> None:
    alone, shared = (PooledNoise(layout(10, 3, shared=effect), {}, range(10)) for effect in (0.0, 0.05))
    assert shared.every.variance == pytest.approx(alone.every.variance, rel=1e-9)
    assert shared.row_spread.variance > 5 * alone.row_spread.variance
    assert shared.row_spread.degrees < 3  # many networks do not make three seeds more


def test_incomplete_layouts_are_fitted_by_least_squares() -> None:
    cells = layout(5, 4, shared=0.02)
    del cells[0][0], cells[1][3], cells[2][3], cells[4][1]
    places = [(network, seed) for network, values in enumerate(cells) for seed in values]
    columns = np.zeros((len(places), 9))
    for row, (network, seed) in enumerate(places):
        columns[row, network] = columns[row, 5 + seed] = 1
    accuracies = np.array([cells[network][seed] for network, seed in places])
    left = accuracies - columns @ np.linalg.lstsq(columns, accuracies, rcond=None)[0]
    degrees = len(places) - np.linalg.matrix_rank(columns)
    found = PooledNoise(cells, {}, range(5)).every
    assert found.degrees == pytest.approx(degrees) and found.variance == pytest.approx((left**2).sum() / degrees)
    apart = [{0: 0.5, 1: 0.6}, {0: 0.51, 1: 0.6}, {2: 0.5, 3: 0.7}, {2: 0.5, 3: 0.72}]
    noise = PooledNoise(apart, {}, range(4))  # two devices, say, that share no block
    assert noise.every.degrees == pytest.approx(2) and noise.difference(0, 2) is None


def test_noise_that_differs_by_group_is_judged_by_group() -> None:
    quiet, loud = layout(8, 3, 0.001), layout(8, 3, 0.02)
    groups = {"cost": [0] * 8 + [1] * 8}
    noise = PooledNoise([*quiet, *loud], groups, range(16))
    assert "cost" in noise.unequal
    even = PooledNoise([*quiet, *layout(9, 3, 0.001)], {"cost": [0] * 8 + [1] * 9}, range(17))
    assert not even.unequal
    wide, narrow = noise.difference(8, 9), even.difference(0, 1)
    assert wide is not None and narrow is not None
    pooled = student_t(noise.every.degrees) * math.sqrt(2 * noise.every.variance / 3)
    assert max(one.half(0.95) for one in wide.spreads) > pooled
    assert bartlett([Spread(1.0, 10), Spread(1.0, 10)]) == pytest.approx(1.0)
    samples = [[1.0, 2.0, 4.0], [1.0, 9.0, 3.0, 2.0], [0.0, 0.5, 0.1]]
    spreads = [Spread(float(np.var(one, ddof=1)), len(one) - 1) for one in samples]
    assert bartlett(spreads) == pytest.approx(scipy_stats.bartlett(*samples).pvalue)


def test_holm_gives_intervals_that_exclude_zero_as_its_p_values_do() -> None:
    generator = random.Random(3)
    for _ in range(200):
        means = [generator.gauss(0, 2.5) for _ in range(6)]
        estimates = [MeanEstimate(mean, (Spread(1.0, 12),), 3) for mean in means]
        p_values = [2 * scipy_stats.t.sf(abs(mean), 12) for mean in means]
        rejected, order = set(), sorted(range(6), key=lambda place: p_values[place])
        for step, place in enumerate(order):
            if p_values[place] > 0.05 / (6 - step):
                break
            rejected.add(place)
        confidences = holm(estimates)
        assert {place for place in range(6) if estimates[place].certain(confidences[place])} == rejected
        assert confidences[order[0]] == pytest.approx(1 - 0.05 / 6)
    assert holm([]) == []


def test_dunnetts_intervals_hold_all_differences_from_one_mean() -> None:
    draws = np.random.default_rng(0).normal(size=(200_000, 5))
    scale = np.sqrt(np.random.default_rng(1).chisquare(8, 200_000) / 8)
    largest = np.abs(draws[:, 1:] - draws[:, :1]).max(1) / np.sqrt(2) / scale
    assert dunnett(4, 8) == pytest.approx(np.quantile(largest, 0.95), rel=0.01)
    assert dunnett(1, 8) == pytest.approx(student_t(8), rel=0.01)


# Proportions


CLASSES = [
    ([30] * 10, [0.9] * 10),
    ([5, 50, 500], [0.8] * 3),
    ([10, 500], [0.5, 0.98]),
    ([10] * 3 + [500] * 7, [0.5] * 3 + [0.98] * 7),
    ([5] + [1000] * 4, [0.5] + [0.99] * 4),
    ([8] * 50, [0.9] * 50),
]


@pytest.mark.parametrize(("images", "truth"), CLASSES)
def test_the_mean_per_class_is_within_its_interval(images: list[int], truth: list[float]) -> None:
    """Also where the small classes are the hard ones, and where many classes are small."""
    draws = np.random.default_rng(0).binomial(images, truth, size=(2000, len(images)))
    held = 0
    for counts in draws:
        mean, (low, high) = mean_per_class([(int(c) / n, n) for c, n in zip(counts, images, strict=True)])
        assert 0 <= low <= mean <= high <= 1
        held += low <= sum(truth) / len(truth) <= high
    assert held / len(draws) >= 0.93  # 0.935 and more, within the noise of 2,000 draws


def test_intervals_of_accuracies_end_at_0_and_1() -> None:
    assert accuracy_interval([0.9, 1.0]).interval95 == (pytest.approx(0.3147, abs=1e-3), 1.0)
    assert accuracy_interval([0.0, 0.2]).low == 0.0 and accuracy_interval([0.5]).interval95 is None
