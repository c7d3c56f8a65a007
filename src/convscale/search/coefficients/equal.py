"""The networks of given directions at an equal cost that is not MACs: activations, or seconds that somebody measures.

Costs of any kind rise with MACs along a direction. So a direction that grows one dimension has its step found by
bisection, and networks of another are planned at the MACs at which those before suggest that it meets the cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from convscale.costs import cost
from convscale.networks import ConvNet
from convscale.records.coefficients import Candidate, Shares
from convscale.scaling import DIMENSIONS, scale
from convscale.search.coefficients.toward import Steps, alone, near_direction, no_step, unit

Measure = Callable[[ConvNet], float]

ROUNDS = 4  # of planning, for a direction that grows several dimensions
BAND = 0.1  # of MACs in which each plans, as a fraction
MEASURED = 6  # networks of a band, those nearest to the direction


def equal_candidates(
    baseline: ConvNet, cost_ratio: float, directions: Sequence[Shares], measure: Measure, *, tolerance: float
) -> list[Candidate | str]:
    """For each direction the network whose `measure` is nearest to `cost_ratio` times the baseline's, within
    `tolerance` to either side; a reason instead where there is none. What a direction gives no share is exactly the
    baseline's. The measure must rise with depth, width and resolution.

    Raises ConfigError as `candidates_at_cost` does.
    """
    base = measure(baseline)

    def ratio(network: ConvNet) -> float:
        return measure(network) / base

    return [
        _along(baseline, cost_ratio, shares, ratio, tolerance)
        if (dimension := alone(shares)) is None
        else _single(baseline, cost_ratio, dimension, ratio, tolerance)
        for shares in directions
    ]


def _single(baseline: ConvNet, asked: float, place: int, ratio: Measure, tolerance: float) -> Candidate | str:
    """Of the two steps around the cost the nearer one."""
    steps = Steps(baseline, place)
    start, _ = steps.around(asked * cost(baseline).macs, steps.macs)  # which takes no measuring
    around = steps.around(asked, lambda step: ratio(steps.network(step)), start or 1)
    measured = {step: ratio(steps.network(step)) for step in around if step is not None}
    nearest = min(measured, key=lambda step: abs(measured[step] / asked - 1), default=None)
    if nearest is None or abs(measured[nearest] / asked - 1) > tolerance:
        return no_step(DIMENSIONS[place], *(None if step is None else measured[step] for step in around))
    scaling = steps.scaling(nearest)
    network, macs = scale(baseline, scaling), steps.macs(nearest)
    return Candidate(unit(place), unit(place), scaling, network, macs, macs / cost(baseline).macs)


def _along(baseline: ConvNet, asked: float, shares: Shares, ratio: Measure, tolerance: float) -> Candidate | str:
    """Of the networks around a direction that meet the cost the nearest to it. They are planned in bands of MACs around
    those at which the direction should meet it, which what was measured corrects."""
    macs, off = asked, math.inf
    for _ in range(ROUNDS):
        pool = near_direction(baseline, max(macs * (1 + BAND / 2), 1.01), shares, BAND)[:MEASURED]
        measured = []
        for one in pool:
            measured.append(ratio(one.network))
            if abs(measured[-1] / asked - 1) <= tolerance:
                return one
        if not pool:
            macs *= 1 + BAND / 2
            continue
        off = min(off, *(abs(cost_ratio / asked - 1) for cost_ratio in measured))
        macs *= median(asked / cost_ratio for cost_ratio in measured)
    if math.isinf(off):
        return "no network of this direction has this cost"
    return f"the nearest network of this direction is {off:.1%} off the cost"
