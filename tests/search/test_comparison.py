"""The comparison with the best: it keeps what may be the best as often as it promises, and no more than it must."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from convscale.search.coefficients.comparison import compare

Accuracies = list[dict[int, dict[int, float]]]


def drawn(
    means: list[float], repetition: int, *, seeds: dict[int, int], noise: Callable[[int], float] = lambda steps: 0.01
) -> Accuracies:
    """Accuracies of candidates with these means, `seeds` of them by steps."""
    draw = random.Random(repetition)
    return [
        {steps: {seed: mean + draw.gauss(0, noise(steps)) for seed in range(count)} for steps, count in seeds.items()}
        for mean in means
    ]


def test_of_equal_candidates_each_is_kept_in_95_percent() -> None:
    kept = sum(len(compare(drawn([0.7] * 6, one, seeds={900: 4}), one).can_be_best) for one in range(200))
    assert 0.93 <= kept / 1200 <= 0.97


def test_a_candidate_that_is_worse_beyond_the_noise_is_dropped() -> None:
    for repetition in range(20):
        found = compare(drawn([0.7, 0.7, 0.6], repetition, seeds={900: 4}), repetition)
        assert 2 not in found.can_be_best


def test_noise_is_pooled_over_candidates_and_lengths() -> None:
    found = compare(drawn([0.7] * 20, 1, seeds={100: 4, 900: 3}), 0)
    assert set(found.noise) == {100, 900}
    assert found.noise[100] == found.noise[900] == pytest.approx(0.01, rel=0.15)


def test_where_noise_differs_between_lengths_each_has_its_own() -> None:
    found = compare(drawn([0.7] * 20, 1, seeds={100: 4, 900: 3}, noise=lambda steps: 1 / steps), 0)
    assert found.noise[100] == pytest.approx(0.01, rel=0.2)
    assert found.noise[900] == pytest.approx(1 / 900, rel=0.3)


def test_what_all_candidates_of_a_seed_share_changes_nothing() -> None:
    accuracies = drawn([0.7, 0.69, 0.68, 0.6], 3, seeds={100: 3, 900: 3})
    moved = [
        {steps: {seed: one + 0.1 * seed - 10 / steps for seed, one in by.items()} for steps, by in table.items()}
        for table in accuracies
    ]
    first, second = compare(accuracies, 0), compare(moved, 0)
    assert first.can_be_best == second.can_be_best
    assert first.noise == pytest.approx(second.noise)


def test_a_candidate_left_out_early_stays_unless_its_short_trainings_tell() -> None:
    for gap, kept in ((0.0, True), (0.1, False)):
        accuracies = drawn([0.7, 0.7, 0.7 - gap], 5, seeds={100: 3, 900: 5})
        del accuracies[2][900]
        assert (2 in compare(accuracies, 0).can_be_best) is kept


def test_the_more_orders_change_with_the_length_the_less_a_short_training_tells() -> None:
    steady = drawn([0.70, 0.69, 0.68, 0.67, 0.66, 0.64], 2, seeds={100: 5, 900: 5}, noise=lambda steps: 0.002)
    moved = [{**table, 900: {seed: 1.37 - one for seed, one in table[900].items()}} for table in steady]
    for accuracies in (steady, moved):
        del accuracies[5][900]
    first, second = compare(steady, 0), compare(moved, 0)
    assert 5 not in first.can_be_best
    assert 5 in second.can_be_best
    assert (first.drift or 0) < 0.005 < (second.drift or 0)


def test_without_noise_the_best_alone_is_kept() -> None:
    found = compare(drawn([0.7, 0.6999, 0.5], 0, seeds={100: 2, 900: 2}, noise=lambda steps: 0.0), 0)
    assert found.can_be_best == (0,)
    equal = compare(drawn([0.7, 0.7, 0.5], 0, seeds={100: 2, 900: 2}, noise=lambda steps: 0.0), 0)
    assert equal.can_be_best == (0, 1)


def test_one_seed_each_tells_nothing() -> None:
    found = compare(drawn([0.9, 0.5], 0, seeds={900: 1}), 0)
    assert (found.can_be_best, found.noise, found.drift) == ((0, 1), {}, None)
    assert compare(drawn([0.9], 0, seeds={900: 3}), 0).can_be_best == (0,)


def test_a_comparison_is_the_same_twice() -> None:
    accuracies = drawn([0.7, 0.695, 0.69, 0.68], 8, seeds={100: 3, 900: 2})
    assert compare(accuracies, 4) == compare(accuracies, 4)
