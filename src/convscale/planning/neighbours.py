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
    strays: bool
    figures: dict[str, float]
    used: dict[str, float]

    @property
    def rank(self) -> tuple[bool, float]:
        """Nearer to the law is smaller; whatever changes a dimension that the law leaves alone comes last."""
        return self.strays, self.off

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
        if LATENCY not in self.limits or self.predict_latency is None:
            return measured(cost(network), None)
        seconds = self.predict_latency(network)
        if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise BudgetError(f"predict_latency gave {seconds!r} for {network.name}", hint="seconds above 0 are needed")
        return measured(cost(network), float(seconds))

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
        """The largest phi whose rounded network keeps every limit; costs never fall as phi grows.

        Raises BudgetError where no limit stops the law before its networks are absurdly large.
        """

        def fits(phi: float) -> bool | None:
            """None where the network would be absurdly large."""
            try:
                return self.fits(scale(self.network, self.law(phi)))
            except ConfigError:
                return None

        low, high = self.smallest_phi, 1.0
        while verdict := fits(high):
            low, high = high, high * 2
        while high - low > 1e-4:
            middle = (low + high) / 2
            if now := fits(middle):
                low = middle
            else:
                high, verdict = middle, now
        if verdict is None or not self.limits_grow():
            raise BudgetError(
                f"no limit of the budget stops the {self.law.name} law: "
                f"{', '.join(self.limits)} does not bind before the network becomes absurdly large",
                hint="add a limit on macs, or take another law",
            )
        return low

    def limits_grow(self) -> bool:
        """Whether any limited cost grows along the law."""
        low = self.figures(scale(self.network, self.law(self.smallest_phi)))
        for phi in (4.0, 0.0):
            try:
                high = self.figures(scale(self.network, self.law(phi)))
            except ConfigError:
                continue
            if any(high[key] > low[key] for key in self.limits):
                return True
        return False

    def candidates(self, phi: float) -> list[Candidate]:
        """Networks that keep the limits, nearest to the law first, until one that spends the budget is
        certain to be the nearest and a few more have been seen."""
        on_law = self.on_law(phi)
        found = [on_law] if on_law.fits else []
        nearest = on_law.rank if on_law.fits and on_law.spent else (True, math.inf)
        for explored, (rank, pair) in enumerate(self.pairs(phi)):
            if rank >= nearest and explored >= EXPLORED:
                break
            for candidate in self.at_resolutions(pair):
                if candidate.fits and candidate.off <= REACH:
                    found.append(candidate)
                    if candidate.spent:
                        nearest = min(nearest, candidate.rank)
        return found or [self.smallest()]

    def on_law(self, phi: float) -> Candidate:
        """The law's own network at phi."""
        return self.at_logs([slope * phi for slope in self.slopes], 0.0)

    def smallest(self) -> Candidate:
        """The smallest network within reach of the law."""
        return self.at_logs([slope * self.smallest_phi - REACH for slope in self.slopes], REACH)

    def at_logs(self, logs: list[float], off: float) -> Candidate:
        """The network of one scaling, given as log multipliers."""
        depth, width, resolution = (Interval(log, log) for log in logs)
        return self.candidate(scale(self.network, Scaling(*map(math.exp, logs))), (depth, width, resolution), off)

    def candidate(self, network: ConvNet, boxes: tuple[Interval, Interval, Interval], off: float) -> Candidate:
        strays = self.stray(boxes)
        figures = self.figures(network)
        return Candidate(network, boxes, off, strays, figures, self.used(figures))

    def stray(self, boxes: tuple[Interval, ...]) -> bool:
        """Whether a dimension that the law leaves alone changes."""
        return any(s == 0 and not low <= 0 <= high for s, (low, high) in zip(self.slopes, boxes, strict=False))

    def phis(self, phi: float) -> tuple[float, float]:
        """The phis around `phi` at which a network within reach may spend a limit and keep all: below, even the
        largest in reach spends none; above, even the smallest breaks one."""

        def used_at(phi: float, reach: float) -> dict[str, float]:
            return self.at_logs([max(slope * phi + reach, SMALLEST_LOG) for slope in self.slopes], abs(reach)).used

        def too_small(phi: float) -> bool:
            return all(share < SPENT[key] for key, share in used_at(phi, REACH).items())

        def too_large(phi: float) -> bool:
            try:
                return max(used_at(phi, -REACH).values()) > 1
            except ConfigError:
                return True

        low = high = phi
        step = 0.25
        while low > self.smallest_phi and not too_small(low):
            low, step = low - step, step * 1.5
        step = 0.25
        while not too_large(high):
            high, step = high + step, step * 1.5
        return max(low, self.smallest_phi), high

    def pairs(self, phi: float) -> list[tuple[tuple[bool, float], tuple[Interval, Interval]]]:
        """Choices of repeats and channels with their rank, nearest first, resolution left free."""
        low, high = self.phis(phi)
        windows = [Interval(max(slope * low - REACH, SMALLEST_LOG), slope * high + REACH) for slope in self.slopes]
        choices = product(depth_intervals(self.network, windows[0]), width_intervals(self.network, windows[1]))
        ranked = [(distance(self.slopes[:2], pair), pair) for pair in choices]
        near = [item for item in ranked if item[0] <= REACH]
        middle = phi * self.slopes[1]
        ordered = sorted(near, key=lambda item: (self.stray(item[1]), item[0], abs(item[1][1].middle - middle)))
        return [((self.stray(pair), off), pair) for off, pair in ordered]

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
        if UNEVEN.intersection(self.limits):
            margin = 8 * step + math.ceil(resolution * 0.04 / step) * step
            for near in range(min(resolution + margin, most), max(resolution - margin, least) - step, -step):
                yield self.at_resolution(shape, pair, near)
        largest = nearest = self.at_resolution(shape, pair, resolution)
        yield largest
        while largest.spent and nearest.network.resolution - step >= least:
            smaller = self.at_resolution(shape, pair, nearest.network.resolution - step)
            if not smaller.spent or smaller.off >= nearest.off:
                break
            nearest = smaller
            yield nearest
        ideal = self.ideal_resolution(pair)
        if least <= ideal < nearest.network.resolution:
            yield self.at_resolution(shape, pair, ideal)

    def at_resolution(self, shape: ConvNet, pair: tuple[Interval, Interval], resolution: int) -> Candidate:
        boxes = (*pair, resolution_interval(self.network, resolution))
        return self.candidate(shape.at_resolution(resolution), boxes, distance(self.slopes, boxes))

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
        smallest = math.ceil(self.network.total_stride / step) * step
        least = math.ceil(base * math.exp(low) / step - 0.5) * step  # a size stands for all that rounds to it
        most = math.floor(min(base * math.exp(high), MAX_RESOLUTION) / step + 0.5) * step
        least = max(least, smallest)
        return least, max(least, min(most, MAX_RESOLUTION))

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
        does not quite: sizes that pad unevenly take a little more, so the answer is one of several edges.
        """
        step = self.network.rules.resolution_step
        low, high = least - step, most + step  # low fits or lies outside; high does not fit or lies outside
        guess = most
        while high - low > step:
            used = self.used(self.figures(shape.at_resolution(guess)))
            low, high = (guess, high) if max(used.values()) <= 1 else (low, guess)
            aim = guess * math.sqrt(1 / max(used.values()))
            guess = min(max(math.floor(aim / step) * step, low + step), high - step)
        return low if low >= least else None
