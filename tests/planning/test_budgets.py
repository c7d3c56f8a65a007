"""Budgets are kept and spent, by true rounded costs and by latencies, and impossible ones are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convscale as cs
from convscale.costs import COST_KEYS
from convscale.costs.blocks import block_cost
from convscale.costs.chain import BlockCosts
from convscale.costs.latency import predicted_seconds
from convscale.errors import BudgetError, ConfigError, UnitError
from convscale.layers import BlockGraph
from convscale.networks import ConvNet
from convscale.planning.budget import SPENT
from convscale.scaling import LAWS
from tests.planning.measures import B0, BASELINES, Roofline, check


@pytest.mark.parametrize("macs", ["50M", "73M", "100M", "190M", "386M", "600M", "1G", "1.7G", "4G", "9.9G", "20G"])
def test_b0_spends_any_macs_budget(macs: str) -> None:
    planned = cs.plan(B0, cs.Budget(macs=macs))
    check(B0, planned)
    assert planned.binding == ("macs",) and planned.chosen.used["macs"] >= 0.99


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("factor", [0.4, 2.0])
def test_every_baseline_goes_up_and_down(name: str, factor: float) -> None:
    network = cs.network(name)
    planned = cs.plan(network, cs.Budget(macs=factor * cs.cost(network).macs))
    check(network, planned)
    assert planned.chosen.used["macs"] >= (0.99 if network.resolution >= 224 else 0.9)  # a pixel of 32 is 6 %


@pytest.mark.parametrize("law", LAWS)
def test_every_law(law: str) -> None:
    for macs in ("250M", "1G"):
        planned = cs.plan(B0, cs.Budget(macs=macs), cs.law(law))
        check(B0, planned)
        if not planned.spent:  # the steps of one dimension are coarse: the fullest of them is taken
            assert law in ("depth", "width", "resolution")
            scaled = (cs.scale(B0, cs.Scaling(**{law: 0.3 + step / 1000})) for step in range(3000))
            full = max(share for one in scaled if (share := cs.cost(one).macs / planned.budget.limits()["macs"]) <= 1)
            assert full - 1e-9 <= planned.chosen.used["macs"] < 0.99


@pytest.mark.parametrize("key", COST_KEYS)
@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_every_limit_can_bind(key: str, factor: float) -> None:
    limit = factor * getattr(cs.cost(B0), key)
    planned = cs.plan(B0, cs.Budget(**{key: limit}))
    check(B0, planned)
    assert planned.binding == (key,) and planned.chosen.used[key] >= SPENT[key]


def test_several_limits() -> None:
    budget = cs.Budget(macs="1G", params="8M", inference_memory_bytes="64MB")
    planned = cs.plan(B0, budget)
    check(B0, planned)
    assert planned.binding == ("params",) and set(planned.chosen.used) == set(budget.limits())
    assert planned.naive and max(planned.naive.used.values()) > 1  # the formula alone breaks the budget


@pytest.mark.parametrize("name", ["small-mbconv", "small-mobilenet-v2", "mobilenet-v2"])
@pytest.mark.parametrize("key", COST_KEYS)
def test_a_plan_uses_no_less_than_turning_phi(name: str, key: str) -> None:
    network, law = cs.network(name), cs.law("compound")
    alone = [getattr(cs.cost(cs.scale(network, law(step / 10))), key) for step in range(-100, 60)]
    for factor in (0.13, 0.2, 0.3, 0.7, 1.5, 2.9):
        limit = factor * getattr(cs.cost(network), key)
        full = max((figure for figure in alone if figure <= limit), default=0) / limit
        if not full:  # MobileNetV2's head keeps its width
            with pytest.raises(BudgetError, match="smallest achievable"):
                cs.plan(network, cs.Budget(**{key: limit}))
            continue
        used = cs.plan(network, cs.Budget(**{key: limit})).chosen.used[key]
        assert used >= min(full, SPENT[key]) - 1e-9


@settings(max_examples=30)
@given(st.sampled_from(BASELINES), st.sampled_from(COST_KEYS), st.floats(-2, 3), st.sampled_from(sorted(LAWS)))
def test_no_budget_is_ever_exceeded(name: str, key: str, doublings: float, law: str) -> None:
    network = cs.network(name)
    limit = getattr(cs.cost(network), key) * 2**doublings
    try:
        planned = cs.plan(network, cs.Budget(**{key: limit}), cs.law(law))
    except BudgetError as error:
        assert "smallest achievable" in error.message or "no limit of the budget stops" in error.message
        return
    check(network, planned)


@pytest.mark.parametrize(
    ("law", "budget"),
    [("resolution", {"macs": "150G"}), ("compound", {"params": "2G"}), ("compound", {"macs": "50T"})],
)
def test_large_budgets(law: str, budget: dict[str, str]) -> None:
    planned = cs.plan(B0, cs.Budget(**budget), cs.law(law))
    check(B0, planned)
    assert max(planned.chosen.used.values()) > 0.97


def test_a_baseline_near_the_largest_resolution_scales_down() -> None:
    large = cs.network("small-resnet").at_resolution(15_000)
    planned = cs.plan(large, cs.Budget(macs="1G"))
    assert planned.chosen.used["macs"] > 0.99


def test_the_naive_answer_is_the_formula() -> None:
    planned = cs.plan(B0, cs.Budget(macs=1.9203 * cs.cost(B0).macs))
    assert planned.naive
    assert planned.naive.phi == pytest.approx(1, abs=1e-3)
    assert planned.naive.used["macs"] == pytest.approx(2.57 / 1.9203, rel=0.01)


def test_alternatives_are_neighbours_that_are_better_in_something() -> None:
    planned = cs.plan(B0, cs.Budget(macs="4G"))
    chosen = planned.chosen
    assert planned.alternatives
    for other in planned.alternatives:
        assert other.network != chosen.network and other.used["macs"] >= 0.94
        assert (
            other.cost.params < chosen.cost.params
            or other.cost.macs < chosen.cost.macs
            or other.cost.activations < chosen.cost.activations
            or other.used["macs"] > chosen.used["macs"]
        )


# Latencies


def test_a_latency_limit() -> None:
    def seconds(network: ConvNet) -> float:
        return cs.cost(network).macs / 1e10 + network.num_blocks * 1e-4

    planned = cs.plan(B0, cs.Budget(latency_seconds="80ms", params="50M"), predict_latency=seconds)
    assert planned.binding == ("latency_seconds",)
    assert 0.97 <= seconds(planned.network) / 0.08 <= 1
    with pytest.raises(BudgetError, match="predict_latency"):
        cs.plan(B0, cs.Budget(latency_seconds=0.1))


def test_a_predictor_of_blocks_gives_the_latency_of_networks() -> None:
    by_block, budget = Roofline(), cs.Budget(latency_seconds="60ms")
    planned = cs.plan(B0, budget, predictor=by_block)
    seconds = predicted_seconds(Roofline(), cs.resolve(planned.network))
    assert planned.chosen.used == {"latency_seconds": pytest.approx(seconds / 0.06)} and 0.97 <= seconds / 0.06 <= 1
    whole = cs.plan(B0, budget, predict_latency=lambda net: predicted_seconds(Roofline(), cs.resolve(net)))
    assert whole.network == planned.network
    assert by_block.calls < 3000  # each distinct block once: a network has 18, and hundreds are looked at
    for limits in ({"latency_seconds": 0.06}, {"macs": 1e9}):
        with pytest.raises(ConfigError, match="predictor and predict_latency"):
            cs.plan(B0, cs.Budget(**limits), predictor=by_block, predict_latency=lambda _: 1.0)


@pytest.mark.parametrize("number", [np.float32, np.float64, Fraction, int])
def test_any_real_number_is_a_latency(number: Callable[[float], Any]) -> None:
    class Constant:
        def seconds(self, block: BlockGraph) -> Any:
            return number(block_cost(block).macs)

    budget = cs.Budget(latency_seconds=1e9)
    assert 0.97 <= cs.plan(B0, budget, predictor=Constant()).chosen.used["latency_seconds"] <= 1
    found = cs.plan(B0, budget, predict_latency=lambda network: number(cs.cost(network).macs))
    assert 0.97 <= found.chosen.used["latency_seconds"] <= 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, None, "1s", 1j])
def test_seconds_of_a_block_that_make_no_sense(bad: Any) -> None:
    class Broken:
        def seconds(self, block: BlockGraph) -> Any:
            return bad

    with pytest.raises(BudgetError, match="the latency predictor returned"):
        cs.plan(B0, cs.Budget(latency_seconds=1), predictor=Broken())


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0, None, "1s"])
def test_latencies_that_make_no_sense(bad: object) -> None:
    with pytest.raises(BudgetError, match="predict_latency returned"):
        cs.plan(B0, cs.Budget(latency_seconds=1), predict_latency=lambda _: bad)  # type: ignore[arg-type,return-value]


@settings(max_examples=40)
@given(st.sampled_from(BASELINES), st.floats(0.4, 2.5), st.floats(0.4, 2.5), st.integers(32, 400))
def test_blocks_costed_once_add_up_to_the_network(name: str, depth: float, width: float, side: int) -> None:
    network = cs.network(name)
    shape = cs.scale(network, cs.Scaling(depth, width)).at_resolution(side)
    wide = cs.scale(network, cs.Scaling(width=width))
    figures, seconds = BlockCosts(Roofline()).chain(wide, [stage.repeats for stage in shape.stages]).at(side)
    assert figures == {key: getattr(cs.cost(shape), key) for key in COST_KEYS}
    assert seconds == pytest.approx(predicted_seconds(Roofline(), cs.resolve(shape)))


# Budgets that cannot be kept


@pytest.mark.parametrize(
    ("budget", "law", "message"),
    [
        (cs.Budget(macs="100k"), "compound", r"macs 100,000 is below the smallest achievable 3\d\d,\d\d\d"),
        (cs.Budget(macs="1k", params="1k"), "compound", r"macs 1,000 .*; params 1,000"),
        (cs.Budget(macs="100M"), "depth", "below the smallest achievable 173,"),
        (cs.Budget(params="8M"), "resolution", "no limit of the budget stops the resolution law"),
        (cs.Budget(params="5.2M"), "resolution", "params 5,200,000 is below the smallest achievable 5,288,548"),
        (cs.Budget(macs="1e18"), "compound", "no limit of the budget stops the compound law"),
    ],
)
def test_impossible_budgets(budget: cs.Budget, law: str, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        cs.plan(B0, budget, cs.law(law))


def test_the_smallest_achievable_figure_is_achievable() -> None:
    with pytest.raises(BudgetError) as caught:
        cs.plan(B0, cs.Budget(params="1k"))
    smallest = int(caught.value.message.rsplit(" ", 1)[1].replace(",", ""))
    planned = cs.plan(B0, cs.Budget(params=smallest))
    assert planned.chosen.used == {"params": 1.0}
    with pytest.raises(BudgetError, match="smallest achievable"):
        cs.plan(B0, cs.Budget(params=smallest - 1))


def test_the_smallest_network_of_a_law_of_one_dimension() -> None:
    small = cs.network("small-mbconv")
    for law in ("depth", "width"):
        with pytest.raises(BudgetError) as caught:
            cs.plan(small, cs.Budget(macs=1e4), cs.law(law))
        figure = int(caught.value.message.rsplit(" ", 1)[1].replace(",", ""))
        for limit in (figure, 1.02 * figure, 1.1 * figure):
            assert cs.plan(small, cs.Budget(macs=limit), cs.law(law)).chosen.used["macs"] <= 1


@pytest.mark.parametrize("bad", [math.nan, -1.0, 0.0, math.inf, "x", "1 M B"])
def test_budgets_that_do_not_parse(bad: float | str) -> None:
    with pytest.raises(UnitError, match="params"):
        cs.Budget(params=bad)


def test_an_empty_budget_and_a_scaled_network() -> None:
    with pytest.raises(BudgetError, match="at least one limit"):
        cs.Budget()
    with pytest.raises(ConfigError, match="already scaled"):
        cs.plan(cs.network("efficientnet-b1"), cs.Budget(macs="1G"))
