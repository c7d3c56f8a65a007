"""Candidates for alpha, beta and gamma: distinct networks of one true cost, spread over the directions of growth.

A direction is the shares of the extra cost that go to depth, width and resolution. Rounding bends directions: a
plan for resolution alone may add blocks instead. So every network is measured. Its true shares are the Shapley
values of the logarithm of its MACs: what each dimension adds, averaged over the six orders in which the three can
be scaled. They add up to 1, and their multipliers satisfy alpha * beta**2 * gamma**2 = true cost ratio exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from types import MappingProxyType

from convscale.costs import cost
from convscale.errors import BudgetError, ConfigError
from convscale.networks import ConvNet
from convscale.planning import Budget, plan
from convscale.planning.budget import SPENT
from convscale.records.coefficients import Candidate, Shares
from convscale.scaling import Scaling, scale, shares_law

MAX_GRID = 20_000  # points of a grid, at most

# A law leaves a dimension of share 0 exactly alone, and then its coarse steps often miss the cost. So the planner looks
# next to each such direction too, with this much of the growth in that dimension.
LEANINGS = (0.08, 0.15)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates, the directions without one and why, and how many directions were merged because another one
    leads to the same network more directly."""

    found: tuple[Candidate, ...]
    unreachable: tuple[tuple[Shares, str], ...]
    merged: int


@lru_cache(maxsize=8)
def candidates_at_cost(
    baseline: ConvNet, cost_ratio: float, *, step: float = 1 / 6, tolerance: float = 0.02
) -> Candidates:
    """Distinct networks that cost `cost_ratio` times `baseline` in MACs, never over it and at most `tolerance` below.

    A grid of directions, `step` apart, each resolved by the planner to true cost. Of all the networks that come
    out each direction takes the one whose actual shares are nearest to it; where no share lies within a step of
    the request, the direction is unreachable.

    Raises ConfigError for a bad cost, step or tolerance and a baseline that is itself scaled, and BudgetError where
    no direction reaches the cost.
    """
    require_cost(baseline, cost_ratio, tolerance)
    directions = list(simplex(step))
    target = cost_ratio * cost(baseline).macs
    around = [one for shares in directions for one in leaning(shares)]
    pool, reasons = planned(baseline, target, tolerance, (*directions, *around))
    if not pool:
        raise BudgetError(
            f"no candidate of {baseline.name} reaches {cost_ratio:g} times its cost within {tolerance:.0%}: "
            + _nearest_reached(baseline, target, directions, reasons),
            hint="try another cost, a wider tolerance or a larger baseline",
        )
    return _assign(directions, pool, reasons, 1 / round(1 / step))


def shares_of(scaling: Scaling) -> Shares:
    """The shares of extra cost that multipliers ask for before rounding, as of a law at phi 1."""
    logs = (math.log(scaling.depth), 2 * math.log(scaling.width), 2 * math.log(scaling.resolution))
    total = sum(logs)
    return logs[0] / total, logs[1] / total, logs[2] / total


def grid_candidates(
    baseline: ConvNet, *, step: float = 0.05, tolerance: float = 0.1, target: float = 2.0
) -> Candidates:
    """Step 1 of Tan & Le 2019, section 3.3, taken literally: alpha, beta, gamma >= 1 on a grid of `step`, with
    alpha * beta**2 * gamma**2 within `tolerance` of `target`. True costs differ (1.9 to 3.3 times for
    EfficientNet-B0): points of equal networks are merged, keeping the one nearest to the network's own growth.

    Raises ConfigError for a bad step, tolerance or target, a grid without points, and a scaled baseline.
    """
    _require_baseline(baseline)
    points = _grid_points(step, tolerance, target)
    if not points:
        raise ConfigError(
            f"no point of a grid of step {step:g} has alpha*beta^2*gamma^2 within {tolerance:g} of {target:g}",
            hint="try a finer step or a wider tolerance",
        )
    base = cost(baseline).macs
    groups: dict[ConvNet, list[Scaling]] = {}
    unreachable: list[tuple[Shares, str]] = []
    for scaling in points:
        try:
            groups.setdefault(scale(baseline, scaling), []).append(scaling)
        except ConfigError as error:
            unreachable.append((shares_of(scaling), error.message))
    found = [_nearest_point(baseline, base, network, group) for network, group in groups.items() if network != baseline]
    if not found:
        raise BudgetError(f"no point of the grid scales {baseline.name}", hint="its widths and depths may be fixed")
    merged = len(points) - len(unreachable) - len(groups)
    return Candidates(tuple(found), tuple(unreachable), merged)


def simplex(step: float) -> Iterator[Shares]:
    """Shares of depth, width and resolution that add up to 1, `step` apart. Raises ConfigError where 1 is not
    a whole number of steps, and below 1/40."""
    parts = round(1 / step) if math.isfinite(step) and step > 0 else 0
    if not 1 <= parts <= 40 or abs(parts * step - 1) > 0.02:
        raise ConfigError(f"share step {step} is not allowed", hint="a fraction 1/N from 1/40 to 1, such as 0.25")
    for depth in range(parts + 1):
        for width in range(parts + 1 - depth):
            yield depth / parts, width / parts, (parts - depth - width) / parts


def actual_shares(baseline: ConvNet, scaling: Scaling) -> Shares:
    """The shares of its growth in MACs that the network of `scaling` owes to depth, width and resolution; they add
    up to 1, and one can be slightly negative where rounding took away. All 0 where it costs what the baseline does."""
    own = (scaling.depth, scaling.width, scaling.resolution)
    logs = {
        chosen: math.log(
            cost(scale(baseline, Scaling(*(m if on else 1.0 for m, on in zip(own, chosen, strict=True))))).macs
        )
        for chosen in product((False, True), repeat=3)
    }
    added = [0.0, 0.0, 0.0]
    for order in permutations(range(3)):
        now = [False, False, False]
        for dimension in order:
            before = logs[now[0], now[1], now[2]]
            now[dimension] = True
            added[dimension] += (logs[now[0], now[1], now[2]] - before) / 6
    total = sum(added)
    if abs(total) < 1e-12:
        return 0.0, 0.0, 0.0
    return added[0] / total, added[1] / total, added[2] / total


def share_distance(one: Shares, other: Shares) -> float:
    """The largest difference of a share."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def require_cost(baseline: ConvNet, cost_ratio: float, tolerance: float) -> None:
    if not (math.isfinite(cost_ratio) and cost_ratio > 1):
        raise ConfigError(f"cost {cost_ratio} is not allowed", hint="above 1, as a multiple of the baseline's cost")
    if not 0 < tolerance <= 0.25:
        raise ConfigError(f"cost tolerance {tolerance} is not allowed", hint="above 0, at most 0.25")
    _require_baseline(baseline)


def _require_baseline(baseline: ConvNet) -> None:
    if baseline.origin is not None:
        raise ConfigError(
            f"{baseline.name} is already scaled from {baseline.origin.baseline}",
            hint=f"search from {baseline.origin.baseline}",
        )


@lru_cache(maxsize=8)
def planned(
    baseline: ConvNet, target: float, tolerance: float, directions: tuple[Shares, ...]
) -> tuple[tuple[Candidate, ...], Mapping[Shares, str]]:
    """Every distinct network that the planner finds within the tolerance, and why directions gave none. It takes
    seconds of planning, and is asked for again whenever a search or a study is resumed."""
    pool: dict[ConvNet, Candidate] = {}
    reasons: dict[Shares, str] = {}
    base = cost(baseline).macs
    limits = [target]
    while limits[-1] * SPENT["macs"] > target * (1 - tolerance) * 1.001:
        limits.append(limits[-1] * SPENT["macs"])  # the planner accepts whatever is spent: search each band in turn
    sides = (None, *_sides(baseline))
    ways = [(shares, side) for shares in dict.fromkeys(directions) for side in (sides if shares[2] == 0 else sides[:1])]
    for shares, side in ways:
        for limit in limits:
            try:
                found = plan(baseline, Budget(macs=int(limit)), shares_law(*shares), resolution=side)
            except (BudgetError, ConfigError) as error:
                reasons.setdefault(shares, error.message)
                continue
            for one in (found.chosen, *found.alternatives):
                macs = one.cost.macs
                if one.network in pool or one.network == baseline or not target * (1 - tolerance) <= macs <= target:
                    continue
                actual = actual_shares(baseline, one.scaling)
                pool[one.network] = Candidate(shares, actual, one.scaling, one.network, macs, macs / base)
            if not target * (1 - tolerance) <= found.chosen.cost.macs:
                reasons.setdefault(shares, f"the planner comes to {found.chosen.cost.macs / target:.1%} of the cost")
    return tuple(pool.values()), MappingProxyType(reasons)


def leaning(shares: Shares) -> Iterator[Shares]:
    """Directions next to one that leaves a dimension alone: a little of the growth goes there."""
    for dimension in range(3):
        if shares[dimension] == 0:
            for lean in LEANINGS:
                depth, width, resolution = (
                    (1 - lean) * share + (lean if i == dimension else 0) for i, share in enumerate(shares)
                )
                yield depth, width, resolution


def _sides(baseline: ConvNet) -> list[int]:
    """Resolutions one step from the baseline's, for directions that leave it alone."""
    step = baseline.rules.resolution_step
    near = (baseline.resolution - step, baseline.resolution + step)
    return [side for side in near if side % step == 0 and side >= baseline.total_stride]


def _assign(
    directions: list[Shares], pool: Sequence[Candidate], reasons: Mapping[Shares, str], step: float
) -> Candidates:
    """The network nearest to each direction; the direction nearest to each network."""
    chosen: dict[ConvNet, tuple[float, Candidate]] = {}
    unreachable = []
    reached = 0
    for shares in directions:
        nearest = min(pool, key=lambda one: share_distance(one.actual, shares))
        off = share_distance(nearest.actual, shares)
        if off > step:
            unreachable.append((shares, why_not(nearest, reasons.get(shares))))
            continue
        reached += 1
        if off < chosen.get(nearest.network, (math.inf, nearest))[0]:
            kept = Candidate(shares, nearest.actual, nearest.scaling, nearest.network, nearest.macs, nearest.cost_ratio)
            chosen[nearest.network] = (off, kept)
    found = tuple(candidate for _, candidate in chosen.values())
    return Candidates(found, tuple(unreachable), reached - len(found))


def why_not(nearest: Candidate | None, reason: str | None) -> str:
    if nearest is None:
        return reason or "no network has this cost"
    shares = ", ".join(f"{share:.2f}" for share in nearest.actual)
    return "; ".join(filter(None, (reason, f"the nearest network of this cost has shares {shares}")))


def _nearest_reached(baseline: ConvNet, target: float, directions: list[Shares], reasons: Mapping[Shares, str]) -> str:
    ratios = []
    for shares in directions:
        try:
            ratios.append(plan(baseline, Budget(macs=int(target)), shares_law(*shares)).chosen.cost.macs)
        except (BudgetError, ConfigError):
            continue
    if ratios:
        return f"the nearest is {max(ratios) / cost(baseline).macs:.3g} times"
    return next(iter(reasons.values()), "no direction scales it")


def _grid_points(step: float, tolerance: float, target: float) -> list[Scaling]:
    if not (math.isfinite(step) and 0.001 <= step <= 1):
        raise ConfigError(f"grid step {step} is not allowed", hint="0.001 to 1; usually 0.05, much as in the paper")
    if not (math.isfinite(tolerance) and 0 < tolerance < 1):
        raise ConfigError(f"grid tolerance {tolerance} is not allowed", hint="above 0, below 1, such as 0.1")
    if not (math.isfinite(target) and target - tolerance > 1 and target <= 100):
        raise ConfigError(f"grid target {target} is not allowed", hint="above 1 + tolerance, at most 100")
    most = target + tolerance

    def axis(power: int) -> list[float]:
        last = math.floor((most ** (1 / power) - 1) / step + 1e-9)
        return [round(1 + index * step, 10) for index in range(last + 1)]

    points = [
        Scaling(alpha, beta, gamma)
        for alpha in axis(1)
        if alpha <= target + 1e-9  # depth alone reaches the target there
        for beta in axis(2)
        if alpha * beta**2 <= most + 1e-9
        for gamma in axis(2)
        if abs(alpha * beta**2 * gamma**2 - target) < tolerance - 1e-9  # the edge itself depends on rounding
    ]
    if len(points) > MAX_GRID:
        raise ConfigError(f"a grid of step {step:g} has {len(points):,} points", hint="use a coarser step")
    return points


def _nearest_point(baseline: ConvNet, base: int, network: ConvNet, group: list[Scaling]) -> Candidate:
    """The candidate of a network, under the grid point nearest to its own growth."""
    actual = actual_shares(baseline, group[0])
    scaling = min(group, key=lambda one: share_distance(shares_of(one), actual))
    macs = cost(network).macs
    return Candidate(shares_of(scaling), actual, scaling, scale(baseline, scaling), macs, macs / base)
