"""Planning: budgets are kept and spent, by true rounded costs, as near to the law as can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convscale as cs
from convscale.catalog import CATALOG
from convscale.costs import COST_KEYS, block_rows, stage_rows
from convscale.costs.blocks import block_cost
from convscale.costs.chain import BlockCosts
from convscale.costs.latency import predicted_seconds
from convscale.errors import BudgetError, ConfigError, UnitError
from convscale.layers import BlockGraph
from convscale.networks import ConvNet
from convscale.planning import plan_resolution
from convscale.planning.budget import SPENT
from convscale.planning.neighbours import Neighbours
from convscale.scaling import LAWS, ScalingLaw, round_channels, round_repeats, round_resolution

B0 = cs.network("efficientnet-b0")
BASELINES = [name for name in CATALOG if cs.network(name).origin is None]


class Roofline:
    """A latency predictor like a device: a block computes or moves memory, whichever takes longer, and starts; feature
    maps whose side is no multiple of 4 are slower, so that latency falls from one resolution to the next."""

    def __init__(self, uneven: float = 0.1) -> None:
        self.uneven, self.calls = uneven, 0

    def seconds(self, block: BlockGraph) -> float:
        self.calls += 1
        macs, moved = block_cost(block).macs, block_cost(block).peak
        return (max(macs / 2e10, moved / 5e9) + 2e-5) * (1 + self.uneven * (block.in_size % 4 != 0))


@cache
def repeated_macs(network: ConvNet) -> list[int]:
    """MACs of the block that each stage repeats, read off a deeper network."""
    deep = block_rows(cs.scale(network, cs.Scaling(depth=20)))
    last = {row.name.split(".")[1]: row.macs for row in deep if row.name.startswith("stages")}
    return list(last.values())


def parts(network: ConvNet) -> list[int]:
    """Channels of stem, stages and head."""
    head = [getattr(network.head, key) for key in ("channels", "hidden") if hasattr(network.head, key)]
    return [network.stem.channels, *(stage.channels for stage in network.stages), *head]


def built(network: ConvNet, scaled: ConvNet) -> tuple[float, float, float]:
    """What was built of a baseline without fixed stages, as log ratios: repeats by the MACs of a repeated block,
    channels by the MACs that have them, pixels."""
    macs = repeated_macs(network)
    before, after = (sum(m * s.repeats for m, s in zip(macs, net.stages, strict=True)) for net in (network, scaled))
    weights = [row.macs for row in stage_rows(network)]
    if hasattr(network.head, "hidden"):
        weights.append(network.head.channels * network.head.hidden)
    logs = [math.log(b / a) for a, b in zip(parts(network), parts(scaled), strict=True)]
    mean = sum(w * log for w, log in zip(weights, logs, strict=False)) / sum(weights[: len(logs)])
    return math.log(after / before), mean, math.log(scaled.resolution / network.resolution)


def off_at(network: ConvNet, scaled: ConvNet, law: ScalingLaw, phi: float) -> float:
    """The distance to a law at phi, by its definition."""
    ends = zip(map(math.log, multipliers(law(phi))), built(network, cs.scale(network, law(phi))), strict=True)
    own = built(network, scaled)
    return max(max(min(pair) - b, b - max(pair), 0) for pair, b in zip(ends, own, strict=True))


def multipliers(scaling: cs.Scaling | ScalingLaw) -> tuple[float, float, float]:
    return scaling.depth, scaling.width, scaling.resolution


def check(network: ConvNet, planned: cs.Plan) -> None:
    """What must hold of every plan."""
    limits = planned.budget.limits()
    for proposal in (planned.chosen, *planned.alternatives):
        figures = cs.cost(proposal.network).as_dict()
        scaling, made = proposal.scaling, proposal.network
        assert cs.scale(network, scaling) == made
        assert proposal.used == {key: pytest.approx(figures[key] / limit) for key, limit in limits.items()}
        assert max(proposal.used.values()) <= 1
        assert -1e-9 <= proposal.off_law <= 0.1 + 1e-6
        same = (
            [stage.repeats for stage in made.stages] == [stage.repeats for stage in network.stages],
            parts(made) == parts(network),
            made.resolution == network.resolution,
        )
        for times, is_same, kept in zip(multipliers(scaling), same, multipliers(planned.law), strict=True):
            assert (times == 1) == is_same, "a multiplier of 1 builds the baseline's, and no other does"
            assert is_same or f"{times:.3f}" != "1.000"
            assert is_same or kept != 1, "the law leaves this dimension alone"


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

    with pytest.raises(BudgetError, match="the latency predictor gave"):
        cs.plan(B0, cs.Budget(latency_seconds=1), predictor=Broken())


def distances(network: ConvNet, law: ScalingLaw, phi: float) -> Iterator[tuple[float, ConvNet, int]]:
    """All networks within 10 % of the law around phi, with their distances by definition, on a dense grid of phi:
    (distance, shape, input side)."""
    phis = np.linspace(phi - 1.2, phi + 1.2, 3001)
    rules = network.rules
    asked = [np.log(base) * phis for base in multipliers(law)]

    def choices(number: int) -> dict[tuple[int, ...], float]:
        """What the multipliers of a dense grid build, and one that builds it."""
        found: dict[tuple[int, ...], float] = {}
        if multipliers(law)[number] == 1:
            return {kinds[number](1.0): 1.0}
        for log in np.arange(asked[number][0] - 0.3, asked[number][-1] + 0.3, 3e-4):
            found.setdefault(kinds[number](math.exp(log)), math.exp(log))
        return found

    kinds: list[Callable[[float], tuple[int, ...]]] = [
        lambda times: tuple(round_repeats(stage.repeats * times, rules.repeats) for stage in network.stages),
        lambda times: tuple(round_channels(c * times, rules.divisor, rules.floor) for c in parts(network)),
        lambda times: (round_resolution(network.resolution * times, 1, network.total_stride),),
    ]
    macs, weights = repeated_macs(network), [row.macs for row in stage_rows(network)]
    if hasattr(network.head, "hidden"):
        weights.append(network.head.channels * network.head.hidden)
    bases = (
        lambda repeats: math.log(np.dot(macs, repeats) / np.dot(macs, [stage.repeats for stage in network.stages])),
        lambda own: float(np.average(np.log(np.divide(own, parts(network))), weights=weights[: len(own)])),
        lambda side: math.log(side[0] / network.resolution),
    )
    off: list[dict[tuple[int, ...], Any]] = []
    found = [choices(number) for number in range(3)]
    for number in range(3):
        from_law = np.array([bases[number](kinds[number](math.exp(log))) for log in asked[number]])
        low, high = np.minimum(asked[number], from_law), np.maximum(asked[number], from_law)
        if multipliers(law)[number] == 1:
            low, high = low - 9, high + 9
        rows = {what: np.maximum(np.maximum(low - bases[number](what), bases[number](what) - high), 0)
                for what in found[number]}  # fmt: skip
        off.append({what: row for what, row in rows.items() if row.min() <= math.log(1.1)})
    for repeats, deep in off[0].items():
        for channels, wide in off[1].items():
            pair = np.maximum(deep, wide)
            if pair.min() > math.log(1.1):
                continue
            shape = cs.scale(network, cs.Scaling(found[0][repeats], found[1][channels]))
            for side, row in off[2].items():
                least = float(np.maximum(pair, row).min())
                if least <= math.log(1.1):
                    yield least, shape, side[0]


UNEVEN_LATENCY = "latency_seconds"


@pytest.mark.parametrize(
    ("name", "key", "limit"),
    [
        ("small-mbconv", "macs", 2.2e6),
        ("small-mbconv", "macs", 12e6),
        ("small-mbconv", "macs", 20e6),
        ("small-mbconv", "params", 90e3),
        ("small-resnet", "activations", 1e5),
        ("small-mobilenet-v2", "inference_memory_bytes", 2e6),
        ("small-mbconv", "inference_memory_bytes", 3445561),
        ("small-mbconv", UNEVEN_LATENCY, 1.2e-3),
        ("mobilenet-v3-large", "training_memory_bytes_per_image", 8114756),
        ("mnasnet-a1", "training_memory_bytes_per_image", 60e6),
        ("efficientnet-b0", "inference_memory_bytes", 20e6),
        ("efficientnet-b0", UNEVEN_LATENCY, 20e-3),
        ("mobilenet-v2", "macs", 100e6),
    ],
)
@pytest.mark.parametrize("law_name", ["compound", "depth", "fast"])
def test_nothing_nearer_spends_the_budget(name: str, key: str, limit: float, law_name: str) -> None:
    network, law = cs.network(name), cs.law(law_name)
    predictor = Roofline(0.15)
    try:
        chosen = cs.plan(network, cs.Budget(**{key: limit}), law, predictor=predictor).chosen
    except BudgetError as error:
        assert "smallest achievable" in error.message
        return

    def figure(candidate: ConvNet) -> float:
        if key == UNEVEN_LATENCY:
            return predicted_seconds(predictor, cs.resolve(candidate))
        return float(getattr(cs.cost(candidate), key))

    spent = chosen.used[key] >= SPENT[key]
    nearest = math.log1p(chosen.off_law) if spent else math.inf
    for off, shape, side in distances(network, law, chosen.phi):
        if off < nearest - 3e-4:
            share = figure(shape.at_resolution(side)) / limit
            assert not SPENT[key] <= share <= 1, f"{off} from the law: {shape.name} at {side} px"
            assert spent or share > 1 or share <= chosen.used[key] + 1e-9


@pytest.mark.parametrize("name", ["efficientnet-b0", "small-mbconv", "resnet-50"])
@pytest.mark.parametrize("law", ["depth", "width", "resolution", "1/1/0", "0/1/1", "1/0/1"])
@pytest.mark.parametrize("factor", [0.6, 1.7, 4.0])
def test_a_law_leaves_the_dimensions_alone_that_it_does_not_scale(name: str, law: str, factor: float) -> None:
    network = cs.network(name)
    chosen_law = cs.law(law) if "/" not in law else cs.shares_law(*map(float, law.split("/")))
    check(network, cs.plan(network, cs.Budget(macs=factor * cs.cost(network).macs), chosen_law))


def test_the_published_networks_lie_on_the_law() -> None:
    law = cs.law("compound")
    for name in ("b1", "b2", "b3", "b4", "b5", "b6", "b7"):
        scaled = cs.network(f"efficientnet-{name}")
        least = min((off_at(B0, scaled, law, phi / 50), phi / 50) for phi in range(10, 360, 3))
        assert least[0] < math.log(1.1), (name, least)
        near = Neighbours(B0, law, {"macs": cs.cost(scaled).macs})
        depth, width, side = near.dimensions
        published = cs.published(name)
        where = (
            depth.index(math.log(published.depth)),
            width.index(math.log(published.width)),
            side.index(math.log(published.resolution)),
        )
        assert near.build(where) == scaled
        assert near.off(where) <= least[0] + 1e-6  # a grid of phi may miss the nearest


def test_the_repeats_of_the_baseline_are_near_just_above_0_and_more_are_far_below_it() -> None:
    law, small = cs.law("compound"), cs.network("small-mbconv")
    for network in (B0, small):
        more = cs.scale(network, cs.Scaling(depth=1.001))
        assert more.num_blocks > 1.4 * network.num_blocks
        assert off_at(network, more, law, 0.001) < 0.005  # the law's own network
        assert off_at(network, network, law, 0.2) < 0.05  # its repeats are not far there
        assert off_at(network, more, law, -0.4) > 0.3


@pytest.mark.parametrize("name", ["efficientnet-b0", "small-mbconv", "mobilenet-v2", "resnet-50"])
def test_a_plan_says_how_deep_it_is(name: str) -> None:
    network = cs.network(name)
    for step in range(1, 41):
        planned = cs.plan(network, cs.Budget(macs=(1 + 0.1 * step) * cs.cost(network).macs))
        for one in (planned.chosen, *planned.alternatives):
            blocks = one.network.num_blocks / network.num_blocks
            assert abs(blocks / one.scaling.depth - 1) < 0.26  # one block of 17 fewer needs 0.75
            assert (f"{one.scaling.depth:.3f}" == "1.000") == (blocks == 1)


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


# Resolutions asked for


def test_a_resolution_that_is_asked_for() -> None:
    for law in LAWS:
        planned = cs.plan(B0, cs.Budget(macs="1G"), cs.law(law), resolution=240)
        assert planned.network.resolution == 240 and planned.chosen.used["macs"] <= 1
        assert cs.scale(B0, planned.chosen.scaling) == planned.network
    exact = cs.plan(B0, cs.Budget(macs="1G"), resolution=240)
    assert exact.chosen.used["macs"] > 0.97 and all(one.network.resolution == 240 for one in exact.alternatives)


def test_a_largest_resolution_and_a_step() -> None:
    free = cs.plan(B0, cs.Budget(macs="4G"))
    capped = cs.plan(B0, cs.Budget(macs="4G"), max_resolution=224)
    assert 220 <= capped.network.resolution <= 224 < free.network.resolution
    assert capped.chosen.used["macs"] > 0.99 and capped.network.num_blocks > free.network.num_blocks
    stepped = cs.plan(B0, cs.Budget(macs="4G"), resolution_step=32)
    assert stepped.network.resolution % 32 == 0 and stepped.chosen.used["macs"] > 0.97
    assert cs.scale(B0, stepped.chosen.scaling) == stepped.network
    full = cs.plan(B0, cs.Budget(macs="100G"), cs.law("resolution"), max_resolution=300)
    assert full.network.resolution == 300 and not full.spent


@pytest.mark.parametrize(
    ("options", "law", "error", "message"),
    [
        ({"resolution": 240, "max_resolution": 224}, "compound", ConfigError, "resolution 240 is above"),
        ({"resolution": 240, "resolution_step": 32}, "compound", ConfigError, "240 is no multiple of"),
        ({"resolution": 16}, "compound", ConfigError, "resolution 16 is not allowed for efficientnet-b0"),
        ({"max_resolution": 31}, "compound", ConfigError, "no resolution up to 31"),
        ({"max_resolution": 192}, "depth", ConfigError, "depth law leaves efficientnet-b0 at 224 pixels, above 192"),
        ({"resolution_step": 50}, "width", ConfigError, "no multiple of 50"),
        ({"resolution": 0}, "compound", ConfigError, "resolution 0 is not allowed"),
        ({"resolution": 240.5}, "compound", ConfigError, "resolution 240.5 is not allowed"),
        ({"resolution": 2000, "budget": "100M"}, "compound", BudgetError, "below the smallest achievable"),
    ],
)
def test_resolutions_that_cannot_be_had(
    options: dict[str, Any], law: str, error: type[Exception], message: str
) -> None:
    budget = cs.Budget(macs=options.pop("budget", "1G"))
    with pytest.raises(error, match=message):
        cs.plan(B0, budget, cs.law(law), **options)


def test_rules_of_the_network_hold_with_a_step_of_ones_own() -> None:
    coarse = replace(B0, rules=replace(B0.rules, resolution_step=16))
    planned = cs.plan(coarse, cs.Budget(macs="1G"), resolution_step=24)
    assert planned.network.resolution % 48 == 0 and cs.scale(coarse, planned.chosen.scaling) == planned.network
    with pytest.raises(ConfigError, match="multiples of 16 pixels"):
        cs.plan(coarse, cs.Budget(macs="1G"), resolution=250)


@pytest.mark.parametrize("name", ["efficientnet-b0", "mobilenet-v2"])
@pytest.mark.parametrize("key", [*COST_KEYS, UNEVEN_LATENCY])
def test_the_largest_resolution_that_keeps_a_budget(name: str, key: str) -> None:
    network, predictor = cs.network(name), Roofline(0.3)
    sides = range(network.total_stride, network.resolution + 1)

    def figure(side: int) -> float:
        smaller = network.at_resolution(side)
        if key == UNEVEN_LATENCY:
            return predicted_seconds(predictor, cs.resolve(smaller))
        return float(getattr(cs.cost(smaller), key))

    figures = {side: figure(side) for side in sides}
    for part in range(1, 30):
        limit = min(figures.values()) + part / 29 * (max(figures.values()) - min(figures.values()))
        best = max(side for side, value in figures.items() if value <= limit)
        budget = cs.Budget(**{key: limit * (1 + 1e-12)})
        assert plan_resolution(network, budget, predictor=predictor).network.resolution == best
        even = [side for side in sides if side % 2 == 0 and side <= 200 and figures[side] <= limit]
        if even:
            smaller = plan_resolution(network, budget, predictor=predictor, max_resolution=200, resolution_step=2)
            assert smaller.network.resolution == max(even)


def test_a_resolution_that_weights_do_not_have() -> None:
    with pytest.raises(ConfigError, match="no such resolution"):
        plan_resolution(B0, cs.Budget(macs="1G"), resolution=225)
    with pytest.raises(BudgetError, match="at 224 pixels: macs 100,000,000 is too little"):
        plan_resolution(B0, cs.Budget(macs="100M"), resolution=224)


# Costs of many networks


@settings(max_examples=40)
@given(st.sampled_from(BASELINES), st.floats(0.4, 2.5), st.floats(0.4, 2.5), st.integers(32, 400))
def test_blocks_costed_once_add_up_to_the_network(name: str, depth: float, width: float, side: int) -> None:
    network = cs.network(name)
    shape = cs.scale(network, cs.Scaling(depth, width)).at_resolution(side)
    wide = cs.scale(network, cs.Scaling(width=width))
    figures, seconds = BlockCosts(Roofline()).chain(wide, [stage.repeats for stage in shape.stages]).at(side)
    assert figures == {key: getattr(cs.cost(shape), key) for key in COST_KEYS}
    assert seconds == pytest.approx(predicted_seconds(Roofline(), cs.resolve(shape)))
