"""The choices of depth, width and resolution that a network's own rules leave, and what each of them builds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convscale.costs import stage_rows
from convscale.costs.blocks import block_cost
from convscale.layers import resolve, resolve_block
from convscale.networks import Bottleneck, ConvNet, ConvPool, ConvPoolHidden, Width
from convscale.planning.lattice import LARGEST_LOG, Dimension, distinct
from convscale.planning.pixels import Pixels
from convscale.scaling import NOISE, ScalingLaw, round_channels, round_repeats, width_edge

# Edges of round_group_width below its multiples of 8.
_GROUP_EDGES = (1.5, 2.0, 5.0)

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
    total = sum(weight for _, weight in parts)

    def edges(top: float) -> Sequence[float]:
        largest = math.exp(top)
        found = []
        for channels in {channels for channels, _ in parts}:
            last = int(channels * largest / rules.divisor) + 2
            found += [width_edge(count * rules.divisor, rules) / channels for count in range(1, last)]
        for group in _group_widths(network):
            steps = [*_GROUP_EDGES, *(8 * count + 4 for count in range(1, int(group * largest / 8) + 2))]
            found += [step / group for step in steps]
        return distinct([edge * (1 - NOISE) for edge in found], top)  # an edge belongs to the choice above it

    def build(log: float) -> tuple[int, ...]:
        times = math.exp(log)
        return tuple(round_channels(channels * times, rules.divisor, rules.floor) for channels, _ in parts)

    def size(built: tuple[int, ...]) -> float:
        logs = (w * math.log(count / channels) for count, (channels, w) in zip(built, parts, strict=True))
        return sum(logs) / total

    if slope == 0:
        return Dimension(slope, lambda _: (), build, lambda _: 0.0, math.inf)
    return Dimension(slope, edges, build, size if parts else lambda _: 0.0)


def _channels(network: ConvNet) -> list[tuple[int, int]]:
    """Channels that width scaling changes, with the MACs of their part of the baseline: stem, stages, head."""
    head = network.head
    rows = stage_rows(network)
    found = [(network.stem.fixed_width, network.stem.channels, rows[0].macs)]
    found += [
        (stage.fixed_width, stage.channels, row.macs) for stage, row in zip(network.stages, rows[1:], strict=False)
    ]
    if isinstance(head, ConvPool | ConvPoolHidden):
        found.append((head.fixed_width, head.channels, rows[-1].macs))
    if isinstance(head, ConvPoolHidden):
        found.append((head.fixed_width, head.hidden, head.channels * head.hidden))
    return [(channels, macs) for fixed, channels, macs in found if not fixed]


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
