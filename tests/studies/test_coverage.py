"""What intervals and verdicts of studies promise, over thousands of studies of planted accuracies."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from convscale.studies.designs import Point
from tests.studies import simulated

NOISE = 0.004
STUDIES = 2000  # where all is even; a quarter of it elsewhere, to keep this short


def even(point: Point) -> float:
    return NOISE


def grows_with_cost(point: Point) -> float:
    return NOISE * (1 + simulated.COSTS.index(point.asked) / 3 if point.asked else 1)


def depth_is_noisier(point: Point) -> float:
    return 2 * NOISE if point.method == "depth" else NOISE


@pytest.mark.long
@pytest.mark.parametrize(
    ("noise", "seed_effect", "seeds"),
    [(even, 0.0, 3), (depth_is_noisier, 0.0, 3), (grows_with_cost, 0.0, 3), (even, 0.008, 3), (even, 0.0, 2)],
    ids=["even", "depth is noisier", "noise grows with cost", "seeds share an effect", "two seeds"],
)
def test_equal_networks_get_no_winner(noise: Callable[[Point], float], seed_effect: float, seeds: int) -> None:
    made, generator = simulated.design(seeds=seeds), random.Random(1)
    winners = flagged = rows = rows_held = pairs = pairs_held = 0
    studies = STUDIES if noise is even and not seed_effect and seeds == 3 else STUDIES // 4
    for _ in range(studies):
        found = simulated.noisy(made, generator, noise, seed_effect=seed_effect)
        winners += bool(found.claims)
        flagged += any(row.settled is False or not row.learned for row in found.rows)
        for row in found.rows[1::2]:
            rows, rows_held = rows + 1, rows_held + _holds(row.interval95, 0.85)
        for one in found.differences:
            pairs, pairs_held = pairs + 1, pairs_held + _holds(one.interval95, 0.0)
    assert winners / studies <= 0.06
    assert flagged / studies <= 0.055
    assert rows_held / rows >= 0.935
    assert pairs_held / pairs >= 0.935


def _holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


@pytest.mark.long
@pytest.mark.parametrize("noise", [0.004, 0.005])
def test_two_points_are_found(noise: float) -> None:
    made, generator = simulated.design(), random.Random(2)
    found = total = false = 0
    for _ in range(STUDIES // 4):
        result = simulated.noisy(made, generator, lambda point: noise, compound=0.02)
        found += sum(one.a == "compound" for one in result.claims)
        false += any(one.a != "compound" for one in result.claims)
        total += 12
    assert found / total >= 0.9
    assert false / (STUDIES // 4) <= 0.06


@pytest.mark.long
def test_the_primary_question_is_answered_wrongly_in_few_studies() -> None:
    made, generator = simulated.design(primary="compound"), random.Random(3)
    answers = [simulated.noisy(made, generator, even).primary for _ in range(STUDIES // 8)]
    assert all(len(found) == 4 and found[0].method == "compound" for found in answers)
    assert sum(any(one.verdict in ("better", "worse") for one in found) for found in answers) / len(answers) <= 0.05
    better = [simulated.noisy(made, generator, even, compound=0.02).primary for _ in range(100)]
    assert sum(one.verdict == "better" for found in better for one in found) / 400 >= 0.9
    held = [one.interval95 for found in better for one in found if one.interval95 is not None]
    assert sum(_holds(interval, 0.02) for interval in held) / len(held) >= 0.95
