"""plan_resolution: what a budget leaves of a network that has its weights already, so that only its input shrinks."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

from convscale.costs import cost
from convscale.errors import BudgetError
from convscale.networks import ConvNet
from convscale.planning.budget import LATENCY, SPENT, Budget, measured
from convscale.planning.planner import Plan, Proposal
from convscale.scaling import Scaling, law


def plan_resolution(
    network: ConvNet, budget: Budget, *, predict_latency: Callable[[ConvNet], float] | None = None
) -> Plan:
    """`network` at the largest resolution that keeps the budget, at most its own; nothing else of it changes.

    Raises BudgetError where a limit is broken even at the smallest, or where a latency limit has no prediction.
    """
    limits = budget.limits()
    if LATENCY in limits and predict_latency is None:
        raise BudgetError("a latency limit needs a latency prediction", hint="pass predict_latency")

    def used(resolution: int) -> dict[str, float]:
        smaller = network.at_resolution(resolution)
        figures = measured(cost(smaller), predict_latency(smaller) if predict_latency and LATENCY in limits else None)
        return {key: figures[key] / limit for key, limit in limits.items()}

    sides = range(network.total_stride, network.resolution + 1)
    count = bisect_left(sides, True, key=lambda side: max(used(side).values()) > 1)
    if not count:
        over = ", ".join(f"{key} {limits[key]:,.10g}" for key, share in used(sides[0]).items() if share > 1)
        raise BudgetError(
            f"{network.name} breaks the budget at any resolution: {over} is too little",
            hint="raise the limit, or start from smaller weights",
        )
    fitting, scaling_law = sides[count - 1], law("resolution")
    chosen, shares = network.at_resolution(fitting), used(fitting)
    scaling = Scaling(resolution=fitting / network.resolution)
    phi = math.log(scaling.resolution) / math.log(scaling_law.resolution)
    proposal = Proposal(phi, scaling, chosen, cost(chosen), shares, 0.0)
    binding = tuple(key for key in shares if shares[key] >= SPENT[key]) or (max(shares, key=lambda key: shares[key]),)
    return Plan(scaling_law, budget, proposal, binding, None, ())
