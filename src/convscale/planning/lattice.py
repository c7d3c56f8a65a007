"""The distinct networks around a law, dimension by dimension: what each multiplier builds, and how far that is
from the law.

Rounding makes most multipliers equal: a dimension has a list of choices (of repeats, of channels, of pixels), each
an interval of multipliers, and each builds something between two of its neighbours. Everything is in logarithms,
where an exponential law is a straight line through the origin: at phi it asks for slope * phi.

What a choice builds is one number, the log ratio to the baseline: repeats weighted by the MACs of a repeated block of
their stage, channels by the MACs of their stage, and the pixels of a side. At phi a choice is on the law where it
lies between what the law asks for and what the rules build from that; elsewhere its distance is the log ratio to the
nearer of the two. The distance of a network is the largest of its dimensions', at the phi where that is least.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from convscale.errors import ConfigError
from convscale.scaling import MAX_MULTIPLIER

LARGEST_LOG = math.log(MAX_MULTIPLIER)

READABLE = 0.001  # a multiplier this far from 1 does not read 1.000


class LogInterval(NamedTuple):
    """Log multipliers from `low` to `high` that build the same."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """A log multiplier safely inside; below the only edge of an interval without end."""
        if math.isinf(self.low):
            return min(self.high, 0.0) - 1 if not math.isinf(self.high) else 0.0
        return self.low + 1e-3 if math.isinf(self.high) else (self.low + self.high) / 2

    def clip(self, value: float) -> float:
        """The log multiplier inside the interval nearest to `value`, clear of its edges."""
        margin = min(1e-6, (self.high - self.low) / 4)
        return min(max(value, self.low + margin), self.high - margin)


class Dimension:
    """The choices of depth, width or resolution, from the smallest up, numbered from 0.

    slope: the log of the law's multiplier at phi 1. edges: up to a given log multiplier, those at which one choice
    ends and the next begins. build: what a log multiplier builds. size: its log ratio to the baseline, which never
    falls. last: the log multiplier up to which there are choices; infinite where the largest serves all above it.
    """

    def __init__(
        self,
        slope: float,
        edges: Callable[[float], Sequence[float]],
        build: Callable[[float], Any],
        size: Callable[[Any], float],
        last: float = LARGEST_LOG,
    ) -> None:
        self.slope, self.last = slope, last
        self._edges, self._build, self._size = edges, build, size
        self._top = -math.inf
        self._ends: Sequence[float] = ()
        self._what: dict[int, Any] = {}
        self._built: dict[int, float] = {}
        self._phis: dict[tuple[int, float], tuple[float, float]] = {}

    @property
    def bounded(self) -> bool:
        """Whether it stops growing while the law continues."""
        return math.isinf(self.last)

    @property
    def single(self) -> bool:
        """Whether there is one choice only, which is then on every law."""
        self._cover(0.0)
        return self.bounded and not self._ends

    def _cover(self, log: float) -> None:
        """Make the edges known beyond `log`."""
        if log >= self._top < LARGEST_LOG:
            self._top = min(max(log, 0.0) + 1.5, LARGEST_LOG)
            self._ends = self._edges(self._top)

    def index(self, log: float) -> int:
        """The choice that a log multiplier builds. Raises ConfigError for absurdly large ones."""
        if log > self.last:
            raise ConfigError(f"multiplier {math.exp(min(log, 700)):g} is not allowed", hint="use a smaller phi")
        self._cover(log)
        return bisect_left(self._ends, log)

    def interval(self, index: int) -> LogInterval:
        """The log multipliers of a choice; the first has no lower end."""
        low = self._ends[index - 1] if index else -math.inf
        return LogInterval(low, self._ends[index] if self.has(index + 1) else self.last)

    def has(self, index: int) -> bool:
        """Whether there is such a choice."""
        while index > len(self._ends) and self._top < LARGEST_LOG:
            self._cover(self._top)
        return 0 <= index <= len(self._ends)

    def what(self, index: int) -> Any:
        """What a choice builds: repeats, channels or pixels. Raises ConfigError for what no network has."""
        if index not in self._what:
            self._what[index] = self._build(self.interval(index).middle)
        return self._what[index]

    def built(self, index: int) -> float:
        """The log ratio of a choice to the baseline."""
        found = self._built.get(index)
        if found is None:
            found = self._built[index] = self._size(self.what(index))
        return found

    def multiplier(self, index: int) -> float:
        """Of the multipliers that build a choice the one nearest to what is built, in as few digits as do: exactly 1
        for the baseline's own, and otherwise one that does not read 1.000 where there is one."""
        box, built = self.interval(index), self.built(index)
        if built == 0 and box.low < 0 < box.high:
            return 1.0
        log = box.clip(built)
        if abs(math.exp(log) - 1) < READABLE:
            log = box.clip(math.log1p(READABLE if box.middle > 0 else -READABLE))
        return shortest(math.exp(log), lambda one: box.low < math.log(one) < box.high)

    def ends_at(self, phi: float) -> tuple[float, float]:
        """What the law asks for at phi and what is built from it, the smaller first."""
        asked = self.slope * phi
        built = self.built(self.index(min(asked, self.last)))
        return (asked, built) if asked < built else (built, asked)

    def first_from(self, size: float) -> int:
        """The first choice that builds `size` or more; the last one where none does."""
        self._cover(size)
        while self._top < LARGEST_LOG and (not self._ends or self.built(len(self._ends) - 1) < size):
            self._cover(self._top)
        return min(bisect_left(range(len(self._ends) + 1), size, key=self.built), len(self._ends))

    def last_to(self, size: float) -> int:
        """The last choice that builds `size` or less; the first one where none does."""
        count = self.first_from(size)
        while self.has(count) and self.built(count) <= size:
            count += 1
        return max(count - 1, 0)

    def phis(self, index: int, reach: float) -> tuple[float, float]:
        """The phis at which a choice lies within `reach` of the law. They have no gap, since neither what is asked
        for nor what is built ever falls as phi grows."""
        if self.single:
            return -math.inf, math.inf
        if (index, reach) not in self._phis:
            built = self.built(index)
            low = high = index
            while low > 0 and self.built(low - 1) >= built - reach:
                low -= 1
            while self.has(high + 1) and self.built(high + 1) <= built + reach:
                high += 1
            self._phis[index, reach] = (
                min((built - reach), self.interval(low).low) / self.slope,
                max((built + reach), self.interval(high).high) / self.slope,
            )
        return self._phis[index, reach]


def shortest(multiplier: float, builds_the_same: Callable[[float], bool]) -> float:
    """A multiplier in the fewest digits, from three after the point, that build the same."""
    for digits in range(3, 10):
        short = round(multiplier, digits)
        if short not in (0, 1) and builds_the_same(short):
            return short
    return multiplier


def distance(dimensions: Sequence[Dimension], where: Sequence[int]) -> float:
    """How far a network, one choice per dimension, is from the law: the log ratio in the worst dimension, to a
    millionth.

    At phi some dimensions fall short of the law and others exceed it. As phi grows the one grows and the other
    shrinks, so the least of the larger of the two is found by bisection.
    """
    spans = [dimension.phis(index, 0.0) for dimension, index in zip(dimensions, where, strict=True)]
    if max(low for low, _ in spans) <= min(high for _, high in spans):
        return 0.0
    points = [
        (dimension, dimension.built(index))
        for dimension, index in zip(dimensions, where, strict=True)
        if not dimension.single
    ]

    def off(phi: float) -> tuple[float, float]:
        over = under = 0.0
        for dimension, built in points:
            low, high = dimension.ends_at(phi)
            over, under = max(over, built - high), max(under, low - built)
        return over, under

    phis = [built / dimension.slope for dimension, built in points]
    low, high = min(phis, default=0.0), max(phis, default=0.0)
    while high - low > 1e-8 * max(1.0, abs(low), abs(high)):
        middle = (low + high) / 2
        over, under = off(middle)
        low, high = (middle, high) if over > under else (low, middle)
    return round(min(max(off(low)), max(off(high))), 6)


def nearest_phis(dimensions: Sequence[Dimension], where: Sequence[int]) -> tuple[float, float, float]:
    """The distance of a network and the phis, from one to another, at which it is that near to the law."""
    reach = distance(dimensions, where)
    spans = [d.phis(index, reach + 1e-6 * (reach > 0)) for d, index in zip(dimensions, where, strict=True)]
    return reach, max(span[0] for span in spans), min(span[1] for span in spans)


def nearest_phi(dimensions: Sequence[Dimension], where: Sequence[int]) -> float:
    """The middle of the phis at which a network is nearest to the law; its nearer end where there is but one."""
    _, low, high = nearest_phis(dimensions, where)
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    if math.isfinite(low) or math.isfinite(high):
        return low if math.isfinite(low) else high
    phis = [d.built(index) / d.slope for d, index in zip(dimensions, where, strict=True) if d.slope > 0]
    return phis[-1] if phis else 0.0


def distinct(edges: Sequence[float], top: float) -> list[float]:
    """Logs of multipliers as edges of choices: sorted, up to `top`, those that are one within rounding noise once."""
    found: list[float] = []
    for log in sorted({math.log(edge) for edge in edges}):
        if log <= top and (not found or log - found[-1] > 1e-12):
            found.append(log)
    return found
