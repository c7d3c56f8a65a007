"""plan_resolution: fit a network that already has its weights into a budget, so that only its input shrinks."""

from __future__ import annotations

import math
from collections.abc import Callable

from convscale.costs import cost
from convscale.costs.chain import BlockCosts
from convscale.costs.latency import LatencyPredictor
from convscale.errors import BudgetError, ConfigError
from convscale.networks import ConvNet
from convscale.planning.budget import LATENCY, Budget, binding_limits
from convscale.planning.neighbours import network_seconds
from convscale.planning.pixels import Pixels
from convscale.planning.planner import Plan, Proposal, require_prediction
from convscale.scaling import Scaling, law


def plan_resolution(
    network: ConvNet,
    budget: Budget | None,
    *,
    predictor: LatencyPredictor | None = None,
    predict_latency: Callable[[ConvNet], float] | None = None,
    resolution: int | None = None,
    max_resolution: int | None = None,
    resolution_step: int = 1,
) -> Plan:
    """`network` at the largest resolution that keeps the budget, at most its own; nothing else about it changes.
    Without a budget, that is its own resolution, or the largest that is allowed.

    Every size is considered, since memory and latency may fall from one to the next. Latency and the allowed
    resolutions are as for `plan`.

    Raises BudgetError where a limit is broken even at the smallest, or where a latency limit has no prediction, and
    ConfigError where the network has none of the requested resolutions.
    """
    limits = {} if budget is None else budget.limits()
    require_prediction(limits, predictor, predict_latency)
    allowed = Pixels(resolution, max_resolution, resolution_step)
    chain = BlockCosts(predictor if LATENCY in limits else None).chain(network)

    def used(side: int) -> dict[str, float]:
        figures, seconds = chain.at(side)
        if LATENCY in limits and predict_latency is not None:
            seconds = network_seconds(predict_latency, network.at_resolution(side))
        return {key: (seconds if key == LATENCY else figures[key]) / limit for key, limit in limits.items()}

    sides = [side for side in range(network.total_stride, network.resolution + 1) if allowed.allows(side)]
    if not sides:
        raise ConfigError(
            f"{network.name} has no such resolution: its own, {network.resolution} pixels, is its largest",
            hint=f"{network.total_stride} to {network.resolution} pixels",
        )
    fitting = next((side for side in reversed(sides) if all(share <= 1 for share in used(side).values())), None)
    if fitting is None:
        over = ", ".join(f"{key} {limits[key]:,.10g}" for key, share in used(sides[0]).items() if share > 1)
        where = f"at {sides[0]} pixels" if len(sides) == 1 else "at any resolution"
        raise BudgetError(
            f"{network.name} exceeds the budget {where}: {over} is too little",
            hint="raise the limit, or start from smaller weights",
        )
    scaling_law, scaling = law("resolution"), Scaling(resolution=fitting / network.resolution)
    chosen, shares = network.at_resolution(fitting), used(fitting)
    phi = math.log(scaling.resolution) / math.log(scaling_law.resolution)
    seconds = shares[LATENCY] * limits[LATENCY] if LATENCY in limits else None
    proposal = Proposal(phi, scaling, (network.num_blocks,) * 2, chosen, cost(chosen), shares, 0.0, seconds)
    return Plan(scaling_law, budget, proposal, binding_limits(shares), None, (), network)
