"""The discrete networks around a law: rounding makes most multipliers equal, so only a few are distinct.

Everything is in logarithms, where an exponential law is a straight line through the origin: the multiplier of
dimension i at phi is slope_i * phi. Each distinct choice of repeats (or channels, or resolution) is an interval
of log multipliers that all round to it. The distance of a network to the law is the smallest t such that, for
some phi, every interval lies within t of its line: a network at distance log(1.1) is within 10 % of the law.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import NamedTuple

from convscale.networks import Bottleneck, ConvNet, ConvPool, ConvPoolHidden, ScalingRules, Width
from convscale.scaling import group_width_edges, round_channels, width_edge

# The log of a multiplier so small that every dimension of any network is at its smallest.
SMALLEST_LOG = -650.0


class Interval(NamedTuple):
    """Log multipliers from `low` to `high` that round to the same network."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """A log multiplier safely inside."""
        return (self.low + self.high) / 2

    def clip(self, value: float) -> float:
        """The log multiplier inside the interval nearest to `value`, clear of its edges."""
        margin = min(1e-6, (self.high - self.low) / 4)
        return min(max(value, self.low + margin), self.high - margin)


def distance(slopes: tuple[float, ...], intervals: tuple[Interval, ...]) -> float:
    """How far a network is from the law, 0 on it. For each phi-scaled dimension the phis within t form an
    interval; intervals on a line share a point when every two of them do, which bounds t pair by pair."""
    least = 0.0
    scaled = []
    for slope, (low, high) in zip(slopes, intervals, strict=True):
        if slope > 0:
            scaled.append((slope, low, high))
        else:
            least = max(least, low, -high)
    for (slope_a, low_a, high_a), (slope_b, low_b, high_b) in combinations(scaled, 2):
        apart = max(low_a / slope_a - high_b / slope_b, low_b / slope_b - high_a / slope_a)
        least = max(least, apart / (1 / slope_a + 1 / slope_b))
    return least


def nearest_phi(slopes: tuple[float, ...], intervals: tuple[Interval, ...]) -> float:
    """The middle of the phis at which the network is nearest to the law."""
    reach = distance(slopes, intervals)
    scaled = [(slope, box) for slope, box in zip(slopes, intervals, strict=True) if slope > 0]
    low = max((box.low - reach) / slope for slope, box in scaled)
    high = min((box.high + reach) / slope for slope, box in scaled)
    return (low + high) / 2


def depth_intervals(network: ConvNet, window: Interval) -> list[Interval]:
    """The distinct choices of repeats for log depth multipliers within `window`."""
    offset = 0.0 if network.rules.repeats == "ceil" else 0.5
    edges = []
    for stage in network.stages:
        if not stage.fixed_depth:
            last = math.ceil(stage.repeats * math.exp(window.high)) + 1
            edges += [(count + offset) / stage.repeats for count in range(1, last)]
    if offset == 0:  # rounding up, an edge belongs to the interval below it: exactly 1 is the baseline
        edges = [edge * (1 + 1e-9) for edge in edges]
    return _intervals(edges, window)


def width_intervals(network: ConvNet, window: Interval) -> list[Interval]:
    """The distinct choices of channels for log width multipliers within `window`."""
    rules = network.rules
    largest = math.exp(window.high)
    edges: list[float] = []
    for channels, least in _scaled_channels(network):
        edges += _channel_edges(channels, least, rules, largest)
    for group in _group_widths(network):
        edges += [edge / group for edge in group_width_edges(group * largest + 1)]
    return _intervals(edges, window)


def resolution_interval(network: ConvNet, resolution: int) -> Interval:
    """The log multipliers that round to `resolution` pixels; everything below rounds to the smallest."""
    step = network.rules.resolution_step
    smallest = resolution - step < network.total_stride
    low = SMALLEST_LOG if smallest else math.log((resolution - step / 2) / network.resolution)
    return Interval(low, math.log((resolution + step / 2) / network.resolution))


def _channel_edges(channels: int, least: float, rules: ScalingRules, largest: float) -> list[float]:
    """The multipliers from `least` to `largest` at which these channels change; they stay as they are up to `least`."""
    last = int(channels * largest / rules.divisor) + 2
    edges = [width_edge(count * rules.divisor, rules) / channels for count in range(1, last)]
    if least and round_channels(channels, rules.divisor, rules.floor) != channels:
        edges.append(least)
    return [edge for edge in edges if edge >= least]


def _scaled_channels(network: ConvNet) -> set[tuple[int, float]]:
    """The channels of each part that scales in width, and the multiplier below which they stay as they are."""
    parts = [(network.stem.fixed_width, network.stem.channels, 0.0)]
    parts += [(stage.fixed_width, stage.channels, 0.0) for stage in network.stages]
    head = network.head
    if isinstance(head, ConvPool):
        parts.append((head.fixed_width, head.channels, 0.0 if head.shrinks else 1.0))
    if isinstance(head, ConvPoolHidden):
        parts.append((head.fixed_width, head.channels, 0.0))
        parts.append((head.fixed_width or head.fixed_hidden, head.hidden, 0.0))
    return {(channels, least) for fixed, channels, least in parts if not fixed}


def _group_widths(network: ConvNet) -> set[int]:
    blocks = (row.block for stage in network.stages if not stage.fixed_width for row in stage.rows)
    groups = (block.groups for block in blocks if isinstance(block, Bottleneck))
    return {group.channels for group in groups if isinstance(group, Width)}


def _intervals(edges: Iterable[float], window: Interval) -> list[Interval]:
    inside = {edge for edge in map(math.log, edges) if window.low < edge < window.high}
    bounds = [window.low, *sorted(inside), window.high]
    return [Interval(low, high) for low, high in pairwise(bounds) if high - low > 1e-12]
