"""Planning: budgets are kept and spent, by true rounded costs, as near to the law as can be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convscale as cs
from convscale.catalog import CATALOG
from convscale.costs import COST_KEYS
from convscale.errors import BudgetError, ConfigError, UnitError
from convscale.networks import ConvNet
from convscale.planning.budget import SPENT
from convscale.planning.lattice import (
    Interval,
    depth_intervals,
    distance,
    nearest_phi,
    resolution_interval,
    width_intervals,
)
from convscale.scaling import LAWS, ScalingLaw
from tests.networks.test_networks import networks

B0 = cs.network("efficientnet-b0")
BASELINES = [name for name in CATALOG if cs.network(name).origin is None]


def check(network: ConvNet, planned: cs.Plan) -> None:
    """What must hold of every plan."""
    limits = planned.budget.limits()
    for proposal in (planned.chosen, *planned.alternatives):
        figures = cs.cost(proposal.network).as_dict()
        assert cs.scale(network, proposal.scaling) == proposal.network
        assert proposal.used == {key: pytest.approx(figures[key] / limit) for key, limit in limits.items()}
        assert max(proposal.used.values()) <= 1
        on_law = planned.law(proposal.phi)
        for dimension in ("depth", "width", "resolution"):
            ratio = getattr(proposal.scaling, dimension) / getattr(on_law, dimension)
            assert max(ratio, 1 / ratio) <= 1 + proposal.off_law + 1e-4 <= 1.1 + 1e-3


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
        assert planned.chosen.used["macs"] >= 0.97


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


def test_a_latency_limit() -> None:
    def seconds(network: ConvNet) -> float:
        return cs.cost(network).macs / 1e10 + network.num_blocks * 1e-4

    planned = cs.plan(B0, cs.Budget(latency_seconds="80ms", params="50M"), predict_latency=seconds)
    assert planned.binding == ("latency_seconds",)
    assert 0.97 <= seconds(planned.network) / 0.08 <= 1
    with pytest.raises(BudgetError, match="predict_latency"):
        cs.plan(B0, cs.Budget(latency_seconds=0.1))


@settings(max_examples=50)
@given(networks, st.floats(-1.5, 1))
def test_a_choice_of_channels_is_one_network_and_neighbours_differ(network: ConvNet, at: float) -> None:
    def scaled(log: float) -> ConvNet:
        return cs.scale(network, cs.Scaling(width=math.exp(log)))

    choices = width_intervals(network, Interval(at, at + 0.7))
    middles = [scaled(choice.middle) for choice in choices]
    for choice, middle in zip(choices, middles, strict=True):
        inside = [choice.clip(log) for log in (choice.low, choice.high)]
        assert all(scaled(log) == middle for log in inside if log != 0), choice  # exactly 1 rounds nothing
    assert all(one != other for one, other in pairwise(middles))


def every_network(network: ConvNet, law: ScalingLaw, phi: float) -> Iterator[tuple[float, ConvNet]]:
    """All distinct networks within 10 % of the law near phi, with their distances, one by one."""
    slopes = (math.log(law.depth), math.log(law.width), math.log(law.resolution))
    reach = math.log(1.1)
    windows = [Interval(s * (phi - 2.5) - reach, s * (phi + 2.5) + reach) for s in slopes]
    for depth in depth_intervals(network, windows[0]):
        for width in width_intervals(network, windows[1]):
            if distance(slopes[:2], (depth, width)) > reach:
                continue
            shape = cs.scale(network, cs.Scaling(math.exp(depth.middle), math.exp(width.middle)))
            low, high = (int(network.resolution * math.exp(bound)) for bound in windows[2])
            for resolution in range(max(network.total_stride, low), high + 1):
                off = distance(slopes, (depth, width, resolution_interval(network, resolution)))
                if off <= reach:
                    yield off, shape.at_resolution(resolution)


@pytest.mark.parametrize(
    ("name", "key", "limit"),
    [
        ("small-mbconv", "macs", 2.2e6),
        ("small-mbconv", "macs", 20e6),
        ("small-mbconv", "params", 90e3),
        ("small-resnet", "activations", 1e5),
        ("small-mobilenet-v2", "inference_memory_bytes", 2e6),
        ("small-mbconv", "macs", 228467),
        ("small-mbconv", "inference_memory_bytes", 3445561),
        ("mobilenet-v3-large", "training_memory_bytes_per_image", 8114756),
        ("efficientnet-b0", "inference_memory_bytes", 20e6),
        ("mobilenet-v2", "macs", 100e6),
    ],
)
@pytest.mark.parametrize("law_name", ["compound", "depth", "fast"])
def test_nothing_nearer_spends_the_budget(name: str, key: str, limit: float, law_name: str) -> None:
    network, law = cs.network(name), cs.law(law_name)
    try:
        chosen = cs.plan(network, cs.Budget(**{key: limit}), law).chosen
    except BudgetError as error:
        assert "smallest achievable" in error.message
        return
    spending = [
        off
        for off, candidate in every_network(network, law, chosen.phi)
        if SPENT[key] <= getattr(cs.cost(candidate), key) / limit <= 1
    ]
    if not spending:
        assert max(chosen.used.values()) < SPENT[key]
    elif law_name != "depth":  # a law of one dimension prefers networks that leave the others alone
        assert chosen.off_law == pytest.approx(math.expm1(min(spending)), abs=1e-6)
    assert not spending or max(chosen.used.values()) >= SPENT[key]


@pytest.mark.parametrize(("law", "macs"), [("resolution", "1G"), ("width", "1G"), ("depth", "1.046G")])
def test_a_law_of_one_dimension_leaves_the_others_alone(law: str, macs: str) -> None:
    chosen = cs.plan(B0, cs.Budget(macs=macs), cs.law(law)).chosen
    others = {"depth", "width", "resolution"} - {law}
    assert {getattr(chosen.scaling, name) for name in others} == {1.0} or chosen.off_law > 0


def test_the_smallest_network_of_a_law_of_one_dimension() -> None:
    small = cs.network("small-mbconv")
    for law in ("depth", "width"):
        with pytest.raises(BudgetError) as caught:
            cs.plan(small, cs.Budget(macs=1e4), cs.law(law))
        figure = int(caught.value.message.rsplit(" ", 1)[1].replace(",", ""))
        for limit in (figure, 1.02 * figure, 1.1 * figure):
            assert cs.plan(small, cs.Budget(macs=limit), cs.law(law)).chosen.used["macs"] <= 1


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


def test_the_naive_answer_is_the_formula() -> None:
    planned = cs.plan(B0, cs.Budget(macs=1.9203 * cs.cost(B0).macs))
    assert planned.naive
    assert planned.naive.phi == pytest.approx(1, abs=1e-3)
    assert planned.naive.used["macs"] == pytest.approx(2.57 / 1.9203, rel=0.01)


@pytest.mark.parametrize(
    ("budget", "law", "message"),
    [
        (cs.Budget(macs="100k"), "compound", r"macs 100,000 is below the smallest achievable 3\d\d,\d\d\d"),
        (cs.Budget(macs="1k", params="1k"), "compound", r"macs 1,000 .*; params 1,000"),
        (cs.Budget(macs="100M"), "depth", "below the smallest achievable 140,"),
        (cs.Budget(params="8M"), "resolution", "no limit of the budget stops the resolution law"),
        (cs.Budget(params="5.2M"), "resolution", "no limit of the budget stops the resolution law"),
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


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0, None, "1s"])
def test_latencies_that_make_no_sense(bad: object) -> None:
    with pytest.raises(BudgetError, match="predict_latency gave"):
        cs.plan(B0, cs.Budget(latency_seconds=1), predict_latency=lambda _: bad)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("bad", [math.nan, -1.0, 0.0, math.inf, "x", "1 M B"])
def test_budgets_that_do_not_parse(bad: float | str) -> None:
    with pytest.raises(UnitError, match="params"):
        cs.Budget(params=bad)


def test_an_empty_budget_and_a_scaled_network() -> None:
    with pytest.raises(BudgetError, match="at least one limit"):
        cs.Budget()
    with pytest.raises(ConfigError, match="already scaled"):
        cs.plan(cs.network("efficientnet-b1"), cs.Budget(macs="1G"))


def test_distance_and_phi() -> None:
    slopes = (math.log(1.2), math.log(1.1), math.log(1.15))
    on_law = tuple(Interval(2 * s - 1e-3, 2 * s + 1e-3) for s in slopes)
    assert distance(slopes, on_law) == 0 and nearest_phi(slopes, on_law) == pytest.approx(2, abs=0.02)
    off = (Interval(on_law[0].low + 0.1, on_law[0].high + 0.1), *on_law[1:])
    assert 0.03 < distance(slopes, off) < 0.1
    best = min(
        max(max(box.low - s * phi, s * phi - box.high, 0) for s, box in zip(slopes, off, strict=True))
        for phi in [x / 5000 for x in range(20_000)]
    )
    assert distance(slopes, off) == pytest.approx(best, abs=1e-4)
    assert distance((1.0, 0.0), (Interval(0, 1), Interval(0.2, 0.3))) == pytest.approx(0.2)
