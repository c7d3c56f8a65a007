"""Candidates: distinct networks of one true cost, and every direction that has none has a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import convscale as cs
from convscale.errors import BudgetError, ConfigError
from convscale.scaling import Scaling, scale
from convscale.search.coefficients import actual_shares, candidates_at_cost, grid_candidates
from convscale.search.coefficients.candidates import share_distance
from tests.search.planted import candidates


@pytest.mark.long
def test_candidates_are_distinct_and_of_one_true_cost() -> None:
    baseline = cs.network("small-mbconv")
    target = 4 * cs.cost(baseline).macs
    found = candidates().found
    assert len(found) >= 10
    assert len({one.network for one in found}) == len(found) == len({one.shares for one in found})
    for one in found:
        assert 0.98 * target <= one.macs == cs.cost(one.network).macs <= target
        assert scale(baseline, one.scaling) == one.network
        assert share_distance(one.shares, one.actual) <= 0.25 + 1e-9
        assert math.isclose(sum(one.actual), 1)


def test_every_direction_is_found_merged_or_unreachable_with_a_reason() -> None:
    coarse = candidates(0.25, 2.0)
    assert len(coarse.found) + coarse.merged + len(coarse.unreachable) == 15
    assert coarse.unreachable
    assert coarse.merged > 0
    assert all("shares" in reason for _, reason in coarse.unreachable)


def test_a_network_is_measured_by_its_own_growth_and_not_by_what_was_asked() -> None:
    baseline = cs.network("small-mbconv")
    # A hair above 1 rounds every number of repeats up: the growth is of depth, whatever the multiplier says.
    depth, width, resolution = actual_shares(baseline, Scaling(1.0001, 1.0, 1.0))
    assert (depth, width, resolution) == pytest.approx((1, 0, 0), abs=1e-9)
    assert actual_shares(baseline, Scaling(1, 1, 1)) == (0, 0, 0)


def test_coefficients_of_a_candidate_double_its_cost_and_return_to_it() -> None:
    for one in candidates().found:
        law = one.doubling
        assert law.depth * law.width**2 * law.resolution**2 == pytest.approx(2)
        assert min(law.depth, law.width, law.resolution) >= 1


def test_the_papers_grid_is_65_networks_of_unequal_cost() -> None:
    grid = grid_candidates(cs.network("efficientnet-b0"))
    ratios = [one.cost_ratio for one in grid.found]
    assert len(grid.found) + grid.merged == 108
    assert len(grid.found) == 65
    assert min(ratios) == pytest.approx(1.93, abs=0.005)
    assert max(ratios) == pytest.approx(3.33, abs=0.005)
    for one in grid.found:
        product = one.scaling.depth * one.scaling.width**2 * one.scaling.resolution**2
        assert abs(product - 2) <= 0.1


def test_a_baseline_that_cannot_grow_deeper_reports_the_deep_directions() -> None:
    baseline = cs.network("small-mbconv")
    shallow = replace(baseline, stages=tuple(replace(stage, fixed_depth=True) for stage in baseline.stages))
    found = candidates_at_cost(shallow, 4.0, step=0.5)
    reasons = dict(found.unreachable)
    assert "no limit of the budget stops" in reasons[1.0, 0.0, 0.0]
    assert found.found
    assert all(one.actual[0] == 0 for one in found.found)


@pytest.mark.parametrize("cost", [1.0, 0.5, -2.0, math.nan, math.inf])
def test_a_cost_that_is_no_growth_is_refused(cost: float) -> None:
    with pytest.raises(ConfigError, match="cost"):
        candidates_at_cost(cs.network("small-mbconv"), cost)


def test_a_cost_that_nothing_reaches_names_the_nearest() -> None:
    with pytest.raises(BudgetError, match=r"reaches 1\.001 times its cost .* the nearest is 1 times"):
        candidates_at_cost(cs.network("small-mbconv"), 1.001, step=0.5, tolerance=0.0005)


@pytest.mark.parametrize("step", [0.0, -0.25, 0.3, 2.0, math.nan, 0.001])
def test_a_share_step_that_does_not_divide_one_is_refused(step: float) -> None:
    with pytest.raises(ConfigError, match="share step"):
        candidates_at_cost(cs.network("small-mbconv"), 4.0, step=step)


@pytest.mark.parametrize(
    "options",
    [{"step": 0.0}, {"tolerance": 0.0}, {"tolerance": 2.0}, {"target": 1.0}, {"step": 0.9, "tolerance": 0.05}],
)
def test_a_bad_grid_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="grid"):
        grid_candidates(cs.network("small-mbconv"), **options)


def test_a_scaled_baseline_is_refused() -> None:
    scaled = scale(cs.network("small-mbconv"), Scaling(2, 1, 1))
    for find in (lambda: candidates_at_cost(scaled, 4.0), lambda: grid_candidates(scaled)):
        with pytest.raises(ConfigError, match="already scaled"):
            find()
