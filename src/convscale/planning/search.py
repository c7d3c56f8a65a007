"""The search of the planner: distinct networks near a law, nearest first, each at the largest resolution that fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

from convscale.costs import cost
from convscale.errors import BudgetError, ConfigError
from convscale.networks import MAX_RESOLUTION, ConvNet
from convscale.planning.budget import LATENCY, SPENT, measured
from convscale.planning.lattice import (
    SMALLEST_LOG,
    Interval,
    depth_intervals,
    distance,
    nearest_phi,
    resolution_interval,
    width_intervals,
)
from convscale.scaling import Scaling, ScalingLaw, scale

REACH = math.log(1.1)  # the furthest a plan may lie from its law, in any dimension
EXPLORED = 24  # choices of repeats and channels looked at for alternatives once a plan is found

# Costs that may fall from one resolution to the next.
UNEVEN = frozenset({"inference_memory_bytes", "training_memory_bytes_per_image", LATENCY})


@dataclass(slots=True)
class Candidate:
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
class Search:
    """A baseline, a law and limits: what is measured of a network, and which networks are looked at.

    `slopes` are the logs of the law's multipliers at phi 1, of depth, width and resolution.
    """

    network: ConvNet
    law: ScalingLaw
    limits: dict[str, float]
    predict_latency: Callable[[ConvNet], float] | None
    slopes: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        self.slopes = (math.log(self.law.depth), math.log(self.law.width), math.log(self.law.resolution))

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

    def candidates(self, phi: float) -> list[Candidate]:
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

    def on_law(self, phi: float) -> Candidate:
        """The law's own network at phi."""
        network = scale(self.network, Scaling(*(math.exp(slope * phi) for slope in self.slopes)))
        depth, width, resolution = (Interval(slope * phi, slope * phi) for slope in self.slopes)
        figures = self.figures(network)
        return Candidate(network, (depth, width, resolution), 0.0, figures, self.used(figures))

    def pairs(self, phi: float) -> list[tuple[float, tuple[Interval, Interval]]]:
        """Choices of repeats and channels with their distance to the law, resolution left free."""
        spare = 5 * REACH / math.log(self.law.macs_growth)  # MACs have degree 5 in the three dimensions
        windows = [Interval(slope * (phi - spare) - REACH, slope * (phi + spare) + REACH) for slope in self.slopes]
        choices = product(depth_intervals(self.network, windows[0]), width_intervals(self.network, windows[1]))
        ranked = [(distance(self.slopes[:2], pair), pair) for pair in choices]
        near = [item for item in ranked if item[0] <= REACH]
        middle = phi * self.slopes[1]
        return sorted(near, key=lambda item: (item[0], abs(item[1][1].middle - middle)))

    def at_resolutions(self, pair: tuple[Interval, Interval]) -> Iterator[Candidate]:
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

    def candidate(self, shape: ConvNet, pair: tuple[Interval, Interval], resolution: int) -> Candidate:
        network = shape.at_resolution(resolution)
        boxes = (*pair, resolution_interval(self.network, resolution))
        figures = self.figures(network)
        return Candidate(network, boxes, distance(self.slopes, boxes), figures, self.used(figures))

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
