"""Resolutions asked for: a side, a largest one, a step, and the largest that keeps a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import convscale as cs
from convscale.costs import COST_KEYS
from convscale.costs.latency import predicted_seconds
from convscale.errors import BudgetError, ConfigError
from convscale.planning import plan_resolution
from convscale.scaling import LAWS
from tests.planning.measures import B0, UNEVEN_LATENCY, Roofline


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
        ({"resolution": 240, "resolution_step": 32}, "compound", ConfigError, "240 is not a multiple of"),
        ({"resolution": 16}, "compound", ConfigError, "resolution 16 is not allowed for efficientnet-b0"),
        ({"max_resolution": 31}, "compound", ConfigError, "no resolution up to 31"),
        ({"max_resolution": 192}, "depth", ConfigError, "depth law leaves efficientnet-b0 at 224 pixels, above 192"),
        ({"resolution_step": 50}, "width", ConfigError, "not a multiple of 50"),
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
