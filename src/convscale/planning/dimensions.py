"""The choices of depth, width and resolution that a network's own rules leave, and what each of them builds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from convscale.costs import stage_rows
from convscale.costs.blocks import block_cost
from convscale.layers import resolve, resolve_block
from convscale.networks import Bottleneck, ConvNet, ConvPool, ConvPoolHidden, ScalingRules, Width
from convscale.planning.lattice import LARGEST_LOG, Dimension, distinct
from convscale.planning.pixels import Pixels
from convscale.scaling import NOISE, ScalingLaw, group_width_edges, round_channels, round_repeats, width_edge

Dimensions = tuple[Dimension, Dimension, Dimension]


def dimensions(network: ConvNet, law: ScalingLaw, pixels: Pixels) -> Dimensions:
    """Depth, width and resolution of a baseline under a law. One that the law leaves alone has one choice, the
    baseline's; an exact resolution stands whatever the law says.

    Raises ConfigError where `pixels` leaves no resolution.
    """
    slopes = (math.log(law.depth), math.log(law.width), math.log(law.resolution))
    if pixels.exact is None and slopes[2] == 0:
        pixels.require_kept(network, law.name)
        pixels = Pixels(exact=network.resolution)
    return _depth(network, slopes[0]), _width(network, slopes[1]), _resolution(network, slopes[2], pixels)


def _depth(network: ConvNet, slope: float) -> Dimension:
    """Choices of the repeats of every stage; what is built are repeats weighted by the MACs of a block."""
    how = network.rules.repeats
    offset = 0.0 if how == "ceil" else 0.5
    scaled = [not stage.fixed_depth and slope > 0 for stage in network.stages]
    weights = _block_macs(network)
    base = sum(weight * stage.repeats for weight, stage, on in zip(weights, network.stages, scaled, strict=True) if on)

    def edges(top: float) -> Sequence[float]:
        found = []
        for stage, on in zip(network.stages, scaled, strict=True):
            if on:
                last = math.ceil(stage.repeats * math.exp(top)) + 1
                found += [(count + offset) / stage.repeats for count in range(1, last)]
        # Rounding up, an edge belongs to the choice below it (exactly 1 is the baseline), and else to the one above.
        return distinct([edge * (1 + NOISE if offset == 0 else 1 - NOISE) for edge in found], top)

    def build(log: float) -> tuple[int, ...]:
        times = math.exp(log)
        return tuple(
            round_repeats(stage.repeats * times, how) if on else stage.repeats
            for stage, on in zip(network.stages, scaled, strict=True)
        )

    def size(repeats: tuple[int, ...]) -> float:
        return math.log(sum(w * count for w, count, on in zip(weights, repeats, scaled, strict=True) if on) / base)

    if slope == 0:
        return Dimension(slope, lambda _: (), build, lambda _: 0.0, math.inf)
    return Dimension(slope, edges, build, size if any(scaled) else lambda _: 0.0)


def _block_macs(network: ConvNet) -> list[int]:
    """MACs of the block that depth scaling repeats, of each stage of the baseline."""
    return [
        block_cost(
            resolve_block(stage.rows[-1].block, stage.channels, stage.channels, 1, blocks[-1].out_size, network.padding)
        ).macs
        for stage, blocks in zip(network.stages, resolve(network).stages, strict=True)
    ]


def _width(network: ConvNet, slope: float) -> Dimension:
    """Choices of all channels; what is built is the mean log ratio, weighted by the MACs that have these channels."""
    rules = network.rules
    parts = _channels(network)
    total = sum(part.macs for part in parts)

    def edges(top: float) -> Sequence[float]:
        largest = math.exp(top)
        found = [edge for part in set(parts) for edge in part.edges(largest, rules)]
        for group in _group_widths(network):
            found += [edge / group for edge in group_width_edges(group * largest + 1)]
        return distinct([edge * (1 - NOISE) for edge in found], top)  # an edge belongs to the choice above it

    def build(log: float) -> tuple[int, ...]:
        times = math.exp(log)
        return tuple(part.scaled(times, rules) for part in parts)

    def size(built: tuple[int, ...]) -> float:
        logs = (part.macs * math.log(count / part.channels) for count, part in zip(built, parts, strict=True))
        return sum(logs) / total

    if slope == 0:
        return Dimension(slope, lambda _: (), build, lambda _: 0.0, math.inf)
    return Dimension(slope, edges, build, size if parts else lambda _: 0.0)


class _Part(NamedTuple):
    """Channels that width scaling changes, and the MACs of their part of the baseline. Up to the multiplier `kept`
    they stay as they are."""

    channels: int
    macs: int
    kept: float = 0.0

    def scaled(self, times: float, rules: ScalingRules) -> int:
        """The channels at a multiplier."""
        if times <= self.kept:
            return self.channels
        return round_channels(self.channels * times, rules.divisor, rules.floor)

    def edges(self, largest: float, rules: ScalingRules) -> list[float]:
        """The multipliers up to `largest` at which these channels change."""
        last = int(self.channels * largest / rules.divisor) + 2
        edges = [width_edge(count * rules.divisor, rules) / self.channels for count in range(1, last)]
        if self.kept and round_channels(self.channels, rules.divisor, rules.floor) != self.channels:
            edges.append(self.kept * (1 + 2 * NOISE))
        return [edge for edge in edges if edge >= self.kept]


def _channels(network: ConvNet) -> list[_Part]:
    """Stem, stages, head, as far as width scaling changes them."""
    head, rows = network.head, stage_rows(network)
    found = [(network.stem.fixed_width, _Part(network.stem.channels, rows[0].macs))]
    found += [
        (stage.fixed_width, _Part(stage.channels, row.macs))
        for stage, row in zip(network.stages, rows[1:], strict=False)
    ]
    if isinstance(head, ConvPool):
        found.append((head.fixed_width, _Part(head.channels, rows[-1].macs, 0.0 if head.shrinks else 1.0)))
    if isinstance(head, ConvPoolHidden):
        found.append((head.fixed_width, _Part(head.channels, rows[-1].macs)))
        hidden = _Part(head.hidden, head.channels * head.hidden)
        found.append((head.fixed_width or head.fixed_hidden, hidden))
    return [part for fixed, part in found if not fixed]


def _group_widths(network: ConvNet) -> set[int]:
    blocks = (row.block for stage in network.stages if not stage.fixed_width for row in stage.rows)
    groups = (block.groups for block in blocks if isinstance(block, Bottleneck))
    return {group.channels for group in groups if isinstance(group, Width)}


def _resolution(network: ConvNet, slope: float, pixels: Pixels) -> Dimension:
    """Choices of the input side; what is built are its pixels."""
    base, sides = network.resolution, pixels.sides(network)
    half = sides.step / 2

    def edges(top: float) -> Sequence[float]:
        last = base * math.exp(top)
        return [math.log((side + half) / base) for side in sides[:-1] if side + half <= last]

    def build(log: float) -> int:
        return sides[min(max(math.floor((base * math.exp(log) - sides[0]) / sides.step + 0.5), 0), len(sides) - 1)]

    bounded = pixels.exact is not None or pixels.most is not None
    last = math.inf if bounded else min(LARGEST_LOG, math.log((sides[-1] + half) / base))
    return Dimension(slope, edges, build, lambda side: math.log(side / base), last)
