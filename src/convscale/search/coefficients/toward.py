"""The networks of given directions at one true cost: what the methods of a study compare.

A direction that gives a dimension no share leaves it exactly as the baseline's: the same blocks, channels or pixels.
One that grows a single dimension has only that dimension's own steps, and they may miss the cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations, product

from convscale.costs import cost
from convscale.networks import ConvNet
from convscale.planning.dimensions import dimensions
from convscale.planning.pixels import Pixels
from convscale.records.coefficients import Candidate, Shares
from convscale.scaling import DIMENSIONS, Scaling, scale, shares_law
from convscale.search.coefficients.candidates import (
    planned,
    require_cost,
    share_distance,
    why_not,
)

REACH = 0.2  # of a share from what was asked for
MOVED = (0.1, 0.2)  # of the growth


def candidates_toward(
    baseline: ConvNet, cost_ratio: float, directions: Sequence[Shares], *, tolerance: float = 0.02, reach: float = REACH
) -> list[Candidate | str]:
    """For each direction the network of `cost_ratio` times the baseline's MACs, within `tolerance` below, whose actual
    shares are nearest to it; a reason instead where no share lies within `reach`. What a direction gives no share is
    exactly the baseline's.

    Raises ConfigError as `candidates_at_cost` does.
    """
    require_cost(baseline, cost_ratio, tolerance)
    target = cost_ratio * cost(baseline).macs
    found: list[Candidate | str] = []
    for shares in directions:
        if (dimension := alone(shares)) is not None:
            found.append(_single(baseline, dimension, target, tolerance))
        else:
            pool, reasons = planned(baseline, target, tolerance, (shares, *around(shares)))
            found.append(_nearest(shares, pool, reach, reasons.get(shares)))
    return found


def around(shares: Shares) -> list[Shares]:
    """Directions next to one that grows several dimensions, in which networks nearer to it than its own may lie: a
    little of the growth moves between two of the dimensions that it grows."""
    moved = []
    for (taken, given), most in product(permutations([place for place in range(3) if shares[place]], 2), MOVED):
        one = list(shares)
        step = min(most, one[taken])
        one[taken], one[given] = one[taken] - step, one[given] + step
        moved.append((one[0], one[1], one[2]))
    return moved


def alone(shares: Shares) -> int | None:
    """The one dimension that shares grow, as a place in DIMENSIONS; None where they grow several."""
    grown = [place for place, share in enumerate(shares) if share != 0]
    return grown[0] if len(grown) == 1 else None


def unit(place: int) -> Shares:
    """The direction that grows one dimension alone."""
    return float(place == 0), float(place == 1), float(place == 2)


def near_direction(baseline: ConvNet, cost_ratio: float, shares: Shares, tolerance: float) -> list[Candidate]:
    """Networks of at most `cost_ratio` times the baseline's MACs, by their distance from a direction, up to REACH."""
    pool, _ = planned(baseline, cost_ratio * cost(baseline).macs, tolerance, (shares, *around(shares)))
    near = [one for one in pool if _keeps(one, shares) and share_distance(one.actual, shares) <= REACH]
    return sorted(near, key=lambda one: share_distance(one.actual, shares))


def _nearest(shares: Shares, pool: Sequence[Candidate], reach: float, reason: str | None) -> Candidate | str:
    """The network of the pool nearest to a direction, of those that leave alone what it leaves alone."""
    allowed = [one for one in pool if _keeps(one, shares)]
    nearest = min(allowed, key=lambda one: share_distance(one.actual, shares), default=None)
    if nearest is not None and share_distance(nearest.actual, shares) <= reach:
        return nearest
    return why_not(nearest, reason)


def _keeps(one: Candidate, shares: Shares) -> bool:
    multipliers = (one.scaling.depth, one.scaling.width, one.scaling.resolution)
    return all(share != 0 or multiplier == 1 for share, multiplier in zip(shares, multipliers, strict=True))


def _single(baseline: ConvNet, place: int, target: float, tolerance: float) -> Candidate | str:
    """The largest network within the target that differs from the baseline in one dimension alone."""
    base = cost(baseline).macs
    steps = Steps(baseline, place)
    low, high = steps.around(target, steps.macs)
    if low is not None and target * (1 - tolerance) <= (macs := steps.macs(low)):
        scaling = steps.scaling(low)
        return Candidate(unit(place), unit(place), scaling, scale(baseline, scaling), macs, macs / base)
    return no_step(DIMENSIONS[place], *(None if one is None else steps.macs(one) / base for one in (low, high)))


def no_step(name: str, low: float | None, high: float | None) -> str:
    """Why a dimension alone has no network of a cost: the costs next to it that it has."""
    costs = [f"{math.ceil(one * 1000 - 1e-6) / 1000:g}" for one in (low, high) if one is not None]
    if not costs:
        return f"{name} alone leaves this baseline as it is: no network of it has another cost"
    if high is None:
        return f"{name} alone comes to {costs[0]} times the baseline's cost at most"
    return f"{name} alone comes no nearer than {' or '.join(costs)} times the baseline's cost: compare at one of these"


class Steps:
    """The networks that differ from a baseline in one dimension alone, by rising cost, numbered from 1."""

    def __init__(self, baseline: ConvNet, place: int) -> None:
        self.baseline, self.name = baseline, DIMENSIONS[place]
        self._dimension = dimensions(baseline, shares_law(*unit(place)), Pixels())[place]
        self._first = self._dimension.index(0.0)

    def scaling(self, step: int) -> Scaling:
        """The multipliers of a step."""
        return Scaling(**{self.name: self._dimension.multiplier(self._first + step)})

    def network(self, step: int) -> ConvNet:
        """The network of a step."""
        return scale(self.baseline, self.scaling(step))

    def macs(self, step: int) -> int:
        """The MACs of a step."""
        return cost(self.network(step)).macs

    def has(self, step: int) -> bool:
        """Whether there is such a step."""
        return self._dimension.has(self._first + step)

    def around(self, target: float, measure: Callable[[int], float], start: int = 1) -> tuple[int | None, int | None]:
        """The last step whose measure is `target` or less, and the next one; None where there is none. The measure
        must not fall from step to step; the search begins at `start`, and asks for few steps where that is near."""

        def fits(step: int) -> bool:
            return step == 0 or (self.has(step) and measure(step) <= target)

        low = high = start
        reach = 1
        while fits(high):
            low, high, reach = high, high + reach, 2 * reach
        reach = 1
        while not fits(low):
            high, low, reach = low, max(low - reach, 0), 2 * reach
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low or None, high if self.has(high) else None
