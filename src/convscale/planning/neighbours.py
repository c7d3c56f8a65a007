"""The distinct networks near a law, each with what it uses of some limits.

The planner asks for those within a small distance of the law, and for wider ones only where none of these spends a
limit. Which of them can spend one is narrowed down by true costs first: at a phi that is too small even the largest
network within the distance spends nothing, at one that is too large even the smallest breaks a limit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Real

from convscale.costs.chain import BlockCosts, Chain, block_costs
from convscale.costs.latency import LatencyPredictor
from convscale.errors import BudgetError, ConfigError
from convscale.networks import MAX_BLOCKS, ConvNet
from convscale.planning.budget import LATENCY, SPENT
from convscale.planning.dimensions import Dimensions, dimensions
from convscale.planning.lattice import distance, nearest_phi, nearest_phis, shortest
from convscale.planning.pixels import Pixels
from convscale.scaling import Scaling, ScalingLaw, round_resolution, scale

REACH = math.log(1.1)  # the furthest a plan may lie from its law, in any dimension
TINY = 1e-3
SMALLEST_LOG = -650.0  # a multiplier so small that every dimension of any network is at its smallest

# Costs that may fall from one resolution to the next: SAME padding that is not symmetric copies its input, which
# even sides need and odd ones do not.
UNEVEN = frozenset({"inference_memory_bytes", "training_memory_bytes_per_image", LATENCY})
FLAT = frozenset({"params", "file_bytes", "training_memory_bytes_fixed"})  # the same at every resolution
SAMPLED = 64  # sizes at which it is measured how far an uneven cost falls: two strides of most networks

Where = tuple[int, int, int]  # the choices of depth, width and resolution


def network_seconds(predict_latency: Callable[[ConvNet], float], network: ConvNet) -> float:
    """The predicted latency of a network. Raises BudgetError where it is not a duration."""
    seconds = predict_latency(network)
    if not isinstance(seconds, Real) or not 0 < seconds < math.inf:
        raise BudgetError(
            f"predict_latency returned {seconds!r} for {network.name}", hint="it must return seconds above 0"
        )
    return float(seconds)


@dataclass(slots=True, eq=False)
class Neighbour:
    """A distinct network near the law: which choices it is made of, its figures, and the shares of the limits."""

    where: Where
    figures: dict[str, float]
    used: dict[str, float]

    @property
    def fits(self) -> bool:
        return max(self.used.values()) <= 1

    @property
    def spent(self) -> bool:
        return any(share >= SPENT[key] for key, share in self.used.items())

    @property
    def fullest(self) -> float:
        return max(self.used.values())


@dataclass(slots=True)
class Neighbours:
    """A baseline, a law and limits: what is known of each network near the law.

    Latency comes from `predictor`, block by block, or from `predict_latency`, network by network.
    """

    network: ConvNet
    law: ScalingLaw
    limits: dict[str, float]
    pixels: Pixels = field(default_factory=Pixels)
    predictor: LatencyPredictor | None = None
    predict_latency: Callable[[ConvNet], float] | None = None
    dimensions: Dimensions = field(init=False)
    even: bool = field(init=False)
    flat: bool = field(init=False)
    _blocks: BlockCosts = field(init=False)
    _wide: dict[int, ConvNet] = field(init=False, default_factory=dict)
    _chains: dict[tuple[int, int], Chain] = field(init=False, default_factory=dict)
    _known: dict[Where, Neighbour] = field(init=False, default_factory=dict)
    _off: dict[Where, float] = field(init=False, default_factory=dict)
    _falls: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.dimensions = dimensions(self.network, self.law, self.pixels)
        self.even = UNEVEN.isdisjoint(self.limits)
        self.flat = FLAT.issuperset(self.limits)
        timed = LATENCY in self.limits and self.predictor is not None
        self._blocks = BlockCosts(self.predictor) if timed else block_costs(self.network)

    def at(self, where: Where) -> Neighbour:
        """The network of three choices. Raises ConfigError where it would be absurdly large."""
        found = self._known.get(where)
        if found is None:
            found = self._known[where] = self._cost(where)
        return found

    def _cost(self, where: Where) -> Neighbour:
        depth, width, resolution = where
        chain = self._chains.get((depth, width))
        if chain is None:
            chain = self._chains[depth, width] = self._chain(depth, width)
        counts, seconds = chain.at(self.dimensions[2].what(resolution))
        figures: dict[str, float] = dict(counts)
        if LATENCY in self.limits:
            predict = self.predict_latency
            figures[LATENCY] = seconds if predict is None else network_seconds(predict, self.build(where))
        return Neighbour(where, figures, {key: figures[key] / limit for key, limit in self.limits.items()})

    def _chain(self, depth: int, width: int) -> Chain:
        repeats = self.dimensions[0].what(depth)
        if sum(repeats) > MAX_BLOCKS:
            raise ConfigError(f"{sum(repeats)} blocks: at most {MAX_BLOCKS} are allowed")
        if width not in self._wide:
            self._wide[width] = scale(self.network, Scaling(width=self.dimensions[1].multiplier(width)))
        return self._blocks.chain(self._wide[width], repeats)

    def scaling(self, where: Where) -> Scaling:
        """Multipliers that give exactly this network, the nearest there are to what they build."""
        depth, width = (self.dimensions[i].multiplier(where[i]) for i in range(2))
        return Scaling(depth, width, self._resolution_multiplier(self.dimensions[2].what(where[2])))

    def _resolution_multiplier(self, side: int) -> float:
        base, step, least = self.network.resolution, self.network.rules.resolution_step, self.network.total_stride
        if side == base:
            return 1.0
        return shortest(side / base, lambda times: round_resolution(base * times, step, least) == side)

    def build(self, where: Where) -> ConvNet:
        """The network itself."""
        return scale(self.network, self.scaling(where))

    def off(self, where: Where) -> float:
        """Its distance to the law, in logs."""
        found = self._off.get(where)
        if found is None:
            found = self._off[where] = distance(self.dimensions, where)
        return found

    def phi(self, where: Where) -> float:
        """The phi at which it is nearest to the law."""
        return max(nearest_phi(self.dimensions, where), self.smallest_phi)

    def nearest(self, some: list[Neighbour], reach: float) -> Neighbour:
        """The nearest to the law of some networks within `reach`, the fullest of equals. Halving the reach leaves few
        whose distance must be computed."""
        least = 0.0
        while len(some) > 4 and reach - least > 1e-6:
            middle = (least + reach) / 2
            nearer = [one for one in some if self._is_within(one.where, middle)]
            some, least, reach = (nearer, least, middle) if nearer else (some, middle, reach)
        return min(some, key=lambda one: (self.off(one.where), -one.fullest))

    def _is_within(self, where: Where, reach: float) -> bool:
        spans = [dimension.phis(index, reach) for dimension, index in zip(self.dimensions, where, strict=True)]
        return max(low for low, _ in spans) <= min(high for _, high in spans)

    # Along the law

    @property
    def smallest(self) -> Neighbour:
        """The smallest network of the law."""
        return self.at((0, 0, 0))

    @property
    def smallest_phi(self) -> float:
        """A phi so low that every dimension that the law scales has reached its smallest."""
        scaled = [dimension.slope for dimension in self.dimensions if dimension.slope > 0]
        return max(-math.log(1000) / min(scaled), SMALLEST_LOG / max(scaled))

    def on_law(self, phi: float) -> Where:
        """The law's own network at phi. Raises ConfigError where that would be absurdly large."""
        depth, width, resolution = (dimension.index(dimension.slope * phi) for dimension in self.dimensions)
        return depth, width, resolution

    def fits_on_law(self, phi: float) -> bool | None:
        """Whether the law's network at phi keeps every limit; None where it would be absurdly large."""
        try:
            return self.at(self.on_law(phi)).fits
        except ConfigError:
            return None

    def largest_phi(self) -> float:
        """About the largest phi whose network keeps every limit, or at which the law stops growing.

        Raises BudgetError where no limit stops the law before its networks are absurdly large.
        """
        low, high = self.smallest_phi, 1.0
        while verdict := self.fits_on_law(high):
            if self._ended(high):
                return self.phi(self.on_law(high))
            low, high = high, high * 2
        while high - low > 1e-3:
            middle = (low + high) / 2
            if now := self.fits_on_law(middle):
                low = middle
            else:
                high, verdict = middle, now
        if verdict is None or not self._limits_grow():
            raise BudgetError(
                f"no limit of the budget stops the {self.law.name} law: "
                f"{', '.join(self.limits)} would not bind before the network becomes absurdly large",
                hint="add a limit on macs, or choose another law",
            )
        return low

    def _ended(self, phi: float) -> bool:
        """Whether every dimension has reached its largest choice at phi."""
        return all(d.bounded and not d.has(d.index(d.slope * phi) + 1) for d in self.dimensions)

    def _limits_grow(self) -> bool:
        """Whether any limited cost grows along the law."""
        for phi in (4.0, 0.0):
            try:
                figures = self.at(self.on_law(phi)).figures
            except ConfigError:
                continue
            if any(figures[key] > self.smallest.figures[key] for key in self.limits):
                return True
        return False

    # Around the law

    def within(self, reach: float, phi: float) -> Iterator[tuple[int, int, range]]:
        """Choices of depth and width near `phi` with the choices of resolution that lie within `reach` of the law."""
        low, high = self._window(reach, phi)
        depths, widths = (self._near(i, reach, low, high) for i in range(2))
        for depth, depth_low, depth_high in depths:
            for width, width_low, width_high in widths:
                first, last = max(low, depth_low, width_low), min(high, depth_high, width_high)
                if first <= last:
                    yield depth, width, self._sides(reach, first, last)

    def _near(self, number: int, reach: float, low: float, high: float) -> list[tuple[int, float, float]]:
        """Choices of a dimension within `reach` of the law somewhere from `low` to `high`, with the phis where."""
        dimension = self.dimensions[number]
        if dimension.single:
            return [(0, -math.inf, math.inf)]
        return [(i, *dimension.phis(i, reach)) for i in self._between(number, reach, low, high)]

    def _sides(self, reach: float, low: float, high: float) -> range:
        return range(1) if self.dimensions[2].single else self._between(2, reach, low, high)

    def _between(self, number: int, reach: float, low: float, high: float) -> range:
        dimension = self.dimensions[number]
        first = dimension.first_from(dimension.ends_at(low)[0] - reach)
        return range(first, dimension.last_to(dimension.ends_at(high)[1] + reach) + 1)

    def _window(self, reach: float, phi: float) -> tuple[float, float]:
        """The phis around `phi` at which a network within `reach` may spend a limit and keep all of them."""
        first = max(reach, 0.002) / max(sum(dimension.slope for dimension in self.dimensions), 0.01)
        low = high = phi
        step = first
        while low > self.smallest_phi and not self._too_small(low, reach):
            low, step = low - step, step * 1.5
        step = first
        while not (self._ended(high) or self._too_large(high, reach)):
            high, step = high + step, step * 1.5
        return max(low, self.smallest_phi), high

    def _too_small(self, phi: float, reach: float) -> bool:
        depth, width, resolution = (0 if d.single else d.last_to(d.ends_at(phi)[1] + reach) for d in self.dimensions)
        try:
            used = self.at((depth, width, resolution)).used
            return all(share * self._slack(key) < SPENT[key] for key, share in used.items())
        except ConfigError:
            return False

    def _too_large(self, phi: float, reach: float) -> bool:
        depth, width, resolution = (0 if d.single else d.first_from(d.ends_at(phi)[0] - reach) for d in self.dimensions)
        try:
            used = self.at((depth, width, resolution)).used
            return any(share > self._slack(key) for key, share in used.items())
        except ConfigError:
            return True

    def measure_unevenness(self, phi: float) -> None:
        """See by how much each uneven cost falls from one size to a larger one, in the law's network at phi at the
        sizes around its own. Others are taken to fall by no more than half as much again."""
        depth, width, middle = self.on_law(phi)
        first = max(middle - SAMPLED // 2, 0)
        sides = [side for side in range(first, first + SAMPLED) if self.dimensions[2].has(side)]
        sampled = [self.at((depth, width, side)).figures for side in sides]
        for key in UNEVEN.intersection(self.limits):
            highest, fall = 0.0, 1.0
            for figures in sampled:
                highest = max(highest, figures[key])
                fall = max(fall, highest / figures[key] if figures[key] else 1.0)
            self._falls[key] = fall**1.5

    def _slack(self, key: str) -> float:
        return self._falls.get(key, 1.0)

    def keeping(self, depth: int, width: int, sides: range) -> Iterator[Neighbour]:
        """The networks of a depth and width that keep every limit, and may be the best of them."""
        largest = self.largest(depth, width, sides)
        if not self.even:
            for side in self._contending(depth, width, sides):
                if (one := self.at((depth, width, side))).fits:
                    yield one
        if largest is not None:
            yield self._nearest_spent(largest, sides) if self.even and largest.spent else largest

    def _nearest_spent(self, largest: Neighbour, sides: range) -> Neighbour:
        """Of the resolutions up to the largest that spend a limit the one nearest to the law, the larger of equals."""
        depth, width, last = largest.where
        smaller = range(0) if self.flat else range(sides.start, last)
        first = bisect_left(smaller, True, key=lambda side: self.at((depth, width, side)).spent)
        reach, low, high = nearest_phis(self.dimensions[:2], (depth, width))
        near = self._sides(reach, max(low, self.smallest_phi), min(high, 1 / TINY))
        return self.at((depth, width, min(max(near.stop - 1, sides.start + first), last)))

    def _contending(self, depth: int, width: int, sides: range) -> range:
        """Resolutions at which an uneven cost may keep every limit and yet spend one: others are too far off for it."""

        def used(side: int) -> dict[str, float]:
            return self.at((depth, width, side)).used

        full = used(sides[-1])

        def too_large(side: int) -> bool:
            return any(share > self._slack(key) for key, share in used(side).items())

        def large_enough(side: int) -> bool:
            return any(share * self._slack(key) >= min(SPENT[key], full[key]) for key, share in used(side).items())

        first = sides.start + bisect_left(sides, True, key=large_enough)
        return range(first, sides.start + bisect_left(sides, True, key=too_large))

    def largest(self, depth: int, width: int, sides: range) -> Neighbour | None:
        """The largest of these resolutions that keeps every limit, None for none. Where costs are uneven a larger one
        may keep them too."""
        if self.flat:
            sides = sides[-1:]
        low, high = sides.start - 1, sides.stop
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.at((depth, width, middle)).fits else (low, middle)
        return self.at((depth, width, low)) if low >= sides.start else None
