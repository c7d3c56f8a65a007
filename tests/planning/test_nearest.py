"""Plans are as near to the law as can be: distances by their definition, and nothing nearer spends the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

import convscale as cs
from convscale.costs import block_rows, stage_rows
from convscale.costs.latency import predicted_seconds
from convscale.errors import BudgetError
from convscale.networks import ConvNet
from convscale.planning.budget import SPENT
from convscale.planning.neighbours import Neighbours
from convscale.scaling import ScalingLaw, round_channels, round_repeats, round_resolution
from tests.planning.measures import B0, UNEVEN_LATENCY, Roofline, check, multipliers, parts


@cache
def repeated_macs(network: ConvNet) -> list[int]:
    """MACs of the block that each stage repeats, read off a deeper network."""
    deep = block_rows(cs.scale(network, cs.Scaling(depth=20)))
    last = {row.name.split(".")[1]: row.macs for row in deep if row.name.startswith("stages")}
    return list(last.values())


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


@pytest.mark.long
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
