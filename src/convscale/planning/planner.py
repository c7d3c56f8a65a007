"""plan: the network of a scaling law that spends a budget best, on true rounded costs.

Turning phi alone misses a budget: repeats, channels and pixels come in whole steps (phi = 1 from EfficientNet-B0
costs 2.57x, not 1.92x). So the planner looks at the distinct networks near the law, nearest first: for each
choice of repeats and channels it finds the largest resolution that keeps every limit, and takes the first
network that spends a limit. None further than 10 % from the law in any dimension is considered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

from convscale.costs import Cost, cost
from convscale.errors import BudgetError, ConfigError
from convscale.networks import MAX_RESOLUTION, ConvNet
from convscale.planning.budget import LATENCY, SPENT, Budget, format_limit, measured
from convscale.planning.lattice import (
    SMALLEST_LOG,
    Interval,
    depth_intervals,
    distance,
    nearest_phi,
    resolution_interval,
    width_intervals,
)
from convscale.scaling import Scaling, ScalingLaw, compound_law, scale

REACH = math.log(1.1)  # the furthest a plan may lie from its law, in any dimension
MAX_ALTERNATIVES = 5
EXPLORED = 24  # choices of repeats and channels looked at for alternatives once a plan is found

# Costs that may fall from one resolution to the next.
UNEVEN = frozenset({"inference_memory_bytes", "training_memory_bytes_per_image", LATENCY})

# How each cost grows with depth, width and resolution, before rounding: the exponents of the paper's estimate.
GROWTH = {
    "macs": (1, 2, 2),
    "params": (1, 2, 0),
    "activations": (1, 1, 2),
    "file_bytes": (1, 2, 0),
    "inference_memory_bytes": (0, 1, 2),
    "training_memory_bytes_fixed": (1, 2, 0),
    "training_memory_bytes_per_image": (1, 1, 2),
    LATENCY: (1, 2, 2),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A network with its place on the law, its costs, and the share of each limit that it uses."""

    phi: float
    scaling: Scaling
    network: ConvNet
    cost: Cost
    used: dict[str, float]
    off_law: float  # the largest relative deviation of a dimension from the law at phi: 0.05 is 5 %


@dataclass(frozen=True, slots=True)
class Plan:
    """The network that spends a budget best, and what else there was.

    binding: the limits that are spent (SPENT says how much of each counts). naive: what the formula alone
    gives, which may break a limit or fall short. alternatives: networks that spend the budget too, and are
    better in some cost or nearer to the law.
    """

    law: ScalingLaw
    budget: Budget
    chosen: Proposal
    binding: tuple[str, ...]
    naive: Proposal | None
    alternatives: tuple[Proposal, ...]

    @property
    def network(self) -> ConvNet:
        """The chosen network."""
        return self.chosen.network


def plan(
    network: ConvNet,
    budget: Budget,
    law: ScalingLaw | None = None,
    *,
    predict_latency: Callable[[ConvNet], float] | None = None,
) -> Plan:
    """Scale `network` up or down by `law` (the paper's compound law) so that it spends `budget`.

    Never over a limit. `predict_latency(network)` gives seconds, for a latency limit. Raises BudgetError where
    even the smallest network breaks a limit, or where no limit stops the law, and ConfigError where `network`
    is itself scaled.
    """
    if budget.latency_seconds is not None and predict_latency is None:
        raise BudgetError("a latency limit needs a latency prediction", hint="pass predict_latency")
    return _Planner(network, budget, law or compound_law(), predict_latency).plan()


@dataclass(slots=True)
class _Candidate:
    """A distinct network near the law."""

    network: ConvNet
    intervals: tuple[Interval, Interval, Interval]
    off: float
    figures: dict[str, float]
    used: dict[str, float]

    @property
    def fits(self) -> bool:
        return max(self.used.values()) <= 1

    @property
    def spent(self) -> bool:
        return any(share >= SPENT[key] for key, share in self.used.items())


@dataclass(slots=True)
class _Planner:
    network: ConvNet
    budget: Budget
    law: ScalingLaw
    predict_latency: Callable[[ConvNet], float] | None
    limits: dict[str, float] = field(init=False)
    slopes: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        self.limits = self.budget.limits()
        self.slopes = (math.log(self.law.depth), math.log(self.law.width), math.log(self.law.resolution))

    def plan(self) -> Plan:
        self.require_possible()
        phi = self.largest_phi()
        candidates = self.search(phi)
        spent = [candidate for candidate in candidates if candidate.spent]
        if spent:
            best = min(spent, key=lambda c: (c.off, -max(c.used.values())))
        else:
            best = max(candidates, key=lambda c: (max(c.used.values()), -c.off))
        used = best.used
        binding = tuple(key for key in used if used[key] >= SPENT[key]) or (max(used, key=lambda k: used[k]),)
        others = _pareto([c for c in spent if c is not best], best)
        return Plan(
            self.law,
            self.budget,
            self.proposal(best),
            binding,
            self.naive(),
            tuple(self.proposal(candidate) for candidate in others),
        )

    def figures(self, network: ConvNet) -> dict[str, float]:
        latency = self.predict_latency(network) if LATENCY in self.limits and self.predict_latency else None
        return measured(cost(network), latency)

    def used(self, figures: dict[str, float]) -> dict[str, float]:
        return {key: figures[key] / limit for key, limit in self.limits.items()}

    def fits(self, network: ConvNet) -> bool:
        return max(self.used(self.figures(network)).values()) <= 1

    @property
    def smallest_phi(self) -> float:
        """A phi so low that every dimension that the law scales has reached its smallest."""
        scaled = [slope for slope in self.slopes if slope > 0]
        return max(-math.log(1000) / min(scaled), SMALLEST_LOG / max(scaled))

    def require_possible(self) -> None:
        """Raise BudgetError where the smallest network of the law breaks a limit."""
        logs = (slope * self.smallest_phi - REACH for slope in self.slopes)
        figures = self.figures(scale(self.network, Scaling(*map(math.exp, logs))))
        over = [key for key, limit in self.limits.items() if figures[key] > limit]
        if over:
            told = "; ".join(
                f"{key} {format_limit(key, self.limits[key])} is below the smallest achievable "
                f"{format_limit(key, figures[key])}"
                for key in over
            )
            raise BudgetError(
                f"no network of {self.network.name} under the {self.law.name} law meets the budget: {told}",
                hint="raise the limit, or start from a smaller baseline or another law",
            )

    def largest_phi(self) -> float:
        """The largest phi whose rounded network keeps every limit; costs never fall as phi grows."""

        def fits(phi: float) -> bool:
            return self.fits(scale(self.network, self.law(phi)))

        low, high = self.smallest_phi, 1.0
        try:
            while fits(high):
                low, high = high, high * 2
        except ConfigError:
            raise BudgetError(
                f"no limit of the budget stops the {self.law.name} law: "
                f"{', '.join(self.limits)} does not bind before the network becomes absurdly large",
                hint="add a limit on macs, or take another law",
            ) from None
        while high - low > 1e-4:
            middle = (low + high) / 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low

    def search(self, phi: float) -> list[_Candidate]:
        """Networks that keep the limits, nearest to the law first, until one that spends the budget is
        certain to be the nearest and a few more have been seen."""
        on_law = self.on_law(phi)
        found = [on_law] if on_law.fits else []
        nearest = on_law.off if on_law.fits and on_law.spent else math.inf
        for explored, (off, pair) in enumerate(self.pairs(phi)):
            if off >= nearest and explored >= EXPLORED:
                break
            for candidate in self.at_resolutions(pair):
                if candidate.fits and candidate.off <= REACH:
                    found.append(candidate)
                    if candidate.spent:
                        nearest = min(nearest, candidate.off)
        return found

    def on_law(self, phi: float) -> _Candidate:
        """The law's own network at phi."""
        network = scale(self.network, self.law(phi))
        depth, width, resolution = (Interval(slope * phi, slope * phi) for slope in self.slopes)
        figures = self.figures(network)
        return _Candidate(network, (depth, width, resolution), 0.0, figures, self.used(figures))

    def pairs(self, phi: float) -> list[tuple[float, tuple[Interval, Interval]]]:
        """Choices of repeats and channels with their distance to the law, resolution left free."""
        spare = 5 * REACH / math.log(self.law.macs_growth)  # MACs have degree 5 in the three dimensions
        windows = [Interval(slope * (phi - spare) - REACH, slope * (phi + spare) + REACH) for slope in self.slopes]
        choices = product(depth_intervals(self.network, windows[0]), width_intervals(self.network, windows[1]))
        ranked = [(distance(self.slopes[:2], pair), pair) for pair in choices]
        near = [item for item in ranked if item[0] <= REACH]
        middle = phi * self.slopes[1]
        return sorted(near, key=lambda item: (item[0], abs(item[1][1].middle - middle)))

    def at_resolutions(self, pair: tuple[Interval, Interval]) -> Iterator[_Candidate]:
        """The candidates of one choice of repeats and channels: the largest resolution that fits, smaller
        ones while the budget stays spent and the law comes nearer, and the one nearest to the law."""
        depth, width = (math.exp(box.middle) for box in pair)
        shape = scale(self.network, Scaling(depth, width))
        step = self.network.rules.resolution_step
        least, most = self.resolutions(pair)
        resolution = self.largest_resolution(shape, least, most)
        if resolution is None:
            return
        largest = nearest = self.candidate(shape, pair, resolution)
        yield largest
        while largest.spent and nearest.network.resolution - step >= least:
            smaller = self.candidate(shape, pair, nearest.network.resolution - step)
            if not smaller.spent or smaller.off >= nearest.off:
                break
            nearest = smaller
            yield nearest
        ideal = self.ideal_resolution(pair)
        if least <= ideal < nearest.network.resolution:
            yield self.candidate(shape, pair, ideal)

    def candidate(self, shape: ConvNet, pair: tuple[Interval, Interval], resolution: int) -> _Candidate:
        network = shape.at_resolution(resolution)
        boxes = (*pair, resolution_interval(self.network, resolution))
        figures = self.figures(network)
        return _Candidate(network, boxes, distance(self.slopes, boxes), figures, self.used(figures))

    def resolutions(self, pair: tuple[Interval, Interval]) -> tuple[int, int]:
        """The smallest and largest resolution within reach of the law for this choice, in pixels."""
        slope = self.slopes[2]
        scaled = [(s, box) for s, box in zip(self.slopes, pair, strict=False) if s > 0]
        low, high = -REACH, REACH
        if slope > 0 and scaled:
            low += slope * max((box.low - REACH) / s for s, box in scaled)
            high += slope * min((box.high + REACH) / s for s, box in scaled)
        elif slope > 0:  # a law of resolution alone: any phi
            low, high = SMALLEST_LOG, math.log(MAX_RESOLUTION)
        rules, base = self.network.rules, self.network.resolution
        step = rules.resolution_step
        least = math.ceil(max(base * math.exp(low), self.network.total_stride) / step) * step
        most = math.floor(min(base * math.exp(high), MAX_RESOLUTION) / step) * step
        return least, max(least, most)

    def ideal_resolution(self, pair: tuple[Interval, Interval]) -> int:
        """The resolution that the law gives for this choice of repeats and channels."""
        step, slope = self.network.rules.resolution_step, self.slopes[2]
        log_multiplier = 0.0
        if slope > 0 and max(self.slopes[:2]) > 0:
            log_multiplier = slope * nearest_phi(self.slopes[:2], pair)
        return round(self.network.resolution * math.exp(log_multiplier) / step) * step

    def largest_resolution(self, shape: ConvNet, least: int, most: int) -> int | None:
        """The largest resolution from `least` to `most` at which `shape` keeps every limit, None for none.

        Costs grow about as pixels squared: each step aims at the limit by that, inside the bracket. Memory
        does not quite: sizes that pad unevenly take a little more, so a few sizes beyond are tried too.
        """
        step = self.network.rules.resolution_step
        low, high = least - step, most + step  # low fits or lies outside; high does not fit or lies outside
        guess = most
        while high - low > step:
            used = self.used(self.figures(shape.at_resolution(guess)))
            low, high = (guess, high) if max(used.values()) <= 1 else (low, guess)
            aim = guess * math.sqrt(1 / max(used.values()))
            guess = min(max(math.floor(aim / step) * step, low + step), high - step)
        if UNEVEN.intersection(self.limits):
            for beyond in range(min(low + 8 * step, most), low + step, -step):
                if self.fits(shape.at_resolution(beyond)):
                    return beyond
        return low if low >= least else None

    def proposal(self, candidate: _Candidate) -> Proposal:
        """The candidate with a phi and multipliers that give exactly its network."""
        phi = nearest_phi(self.slopes, candidate.intervals)
        logs = [
            0.0 if slope == 0 and box.low <= 0 <= box.high else box.clip(slope * phi)
            for slope, box in zip(self.slopes, candidate.intervals, strict=True)
        ]
        scaling = Scaling(*(math.exp(log) for log in logs))
        network = scale(self.network, scaling)
        if network != candidate.network:  # a multiplier of exactly 1 leaves a width that rounding would move
            scaling = Scaling(*(math.exp(box.middle) for box in candidate.intervals))
            network = scale(self.network, scaling)
        return Proposal(phi, scaling, network, cost(network), candidate.used, math.expm1(candidate.off))

    def naive(self) -> Proposal | None:
        """What the formula gives: the phi at which the exact, unrounded growth meets the tightest limit; None
        where that network would be absurdly large."""
        base = self.figures(self.network)
        phis = []
        for key, limit in self.limits.items():
            growth = sum(power * slope for power, slope in zip(GROWTH[key], self.slopes, strict=True))
            if growth > 0:
                phis.append(math.log(limit / base[key]) / growth)
        phi = max(min(phis, default=0.0), self.smallest_phi)
        try:
            network = scale(self.network, self.law(phi))
        except ConfigError:
            return None
        return Proposal(phi, self.law(phi), network, cost(network), self.used(self.figures(network)), 0.0)


def _pareto(candidates: list[_Candidate], best: _Candidate) -> list[_Candidate]:
    """Candidates that no other, nor the best, beats in the distance to the law and every cost at once."""

    def key(candidate: _Candidate) -> tuple[float, ...]:
        figures = candidate.figures
        return (candidate.off, figures["params"], figures["macs"], figures["activations"])

    def beaten(one: _Candidate, by: _Candidate) -> bool:
        return by is not one and all(b <= a for a, b in zip(key(one), key(by), strict=True))

    front = [one for one in candidates if not any(beaten(one, by) for by in [*candidates, best])]
    return sorted(front, key=lambda c: c.off)[:MAX_ALTERNATIVES]
