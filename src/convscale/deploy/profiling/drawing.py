"""Random networks of the catalog's block types, of all sizes: what a profile times, so that it knows their steps."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice

from convscale.catalog import CATALOG, network
from convscale.costs import cost
from convscale.errors import ConfigError
from convscale.networks import (
    Block,
    Bottleneck,
    ConvNet,
    ConvPool,
    ConvPoolHidden,
    FusedMBConv,
    Head,
    MBConv,
    Row,
    Stage,
    Width,
)
from convscale.scaling import round_channels

LEAST_MACS, MOST_MACS = 2e6, 1.6e9
SIDES = (24, 384)  # pixels
KERNELS = (3, 5, 7)
EXPANSIONS = (2, 3, 4, 6)
GROUP_WIDTHS = (8, 16, 24, 32, 48, 64)
CLASSES = (10, 100, 1000)
KEPT = 0.5  # the chance that a block's own kernel or expansion stays
MOST_REPEATS = 4
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples, without the whole, spread evenly whatever their number

# One of each family, the most used ones twice; the released members are scaled from these.
FAMILIES = (
    "efficientnet-b0", "mobilenet-v2", "resnet-18", "efficientnet-lite0", "mobilenet-v3-large", "regnety-400mf",
    "efficientnetv2-s", "mobilenet-v1", "resnet-50", "small-mbconv", "mnasnet-a1", "resnext-50-32x4d",
    "efficientnet-b0", "mobilenet-v3-small", "small-resnet", "mnasnet-b1", "small-mobilenet-v2", "regnety-4gf",
    "mobilenet-v2", "tiny-mbconv", "small-mobilenet-v1", "wide-resnet-50-2",
)  # fmt: skip


def drawn_networks(number: int, seed: int) -> Iterator[ConvNet]:
    """So many random networks of 2 M to 1.6 G multiply-adds: each family's table in turn with other widths, repeats,
    kernels, expansions, group widths and classes, and at the resolution at which it costs what its turn asks for. The
    n-th is the same whatever the number."""
    return islice((_drawn(seed, turn) for turn in count()), number)


def families_left_out() -> tuple[str, ...]:
    """The names of the catalog from which nothing is drawn."""
    return tuple(name for name in CATALOG if name not in FAMILIES)


def _drawn(seed: int, turn: int) -> ConvNet:
    """The network of a turn: the first that a few attempts give within the range."""
    generator = random.Random(f"profile {seed} {turn}")
    offset = random.Random(f"profile {seed}").random()
    wanted = LEAST_MACS * (MOST_MACS / LEAST_MACS) ** ((offset + turn * GOLDEN) % 1)
    while True:
        base = network(FAMILIES[turn % len(FAMILIES)])
        try:
            drawn = _resized(_varied(base, generator, f"random-{seed}-{turn}"), wanted)
        except ConfigError:  # a table that no network has, as groups that do not divide
            continue
        if LEAST_MACS <= cost(drawn).macs <= MOST_MACS:
            return drawn


def _resized(drawn: ConvNet, wanted: float) -> ConvNet:
    """At about the resolution at which it costs the `wanted` multiply-adds, as far as SIDES go."""
    for _ in range(2):
        side = round(drawn.resolution * math.sqrt(wanted / cost(drawn).macs))
        drawn = drawn.at_resolution(min(max(side, SIDES[0], drawn.total_stride), SIDES[1]))
    return drawn


def _varied(base: ConvNet, generator: random.Random, name: str) -> ConvNet:
    width = 2 ** generator.uniform(-1, 0.8)

    def channels(own: int) -> int:
        return round_channels(own * width * 2 ** generator.uniform(-0.3, 0.3))

    return replace(
        base,
        name=name,
        stem=replace(base.stem, channels=channels(base.stem.channels)),
        stages=tuple(_varied_stage(stage, channels, generator) for stage in base.stages),
        head=_varied_head(base.head, channels),
        num_classes=generator.choice(CLASSES),
        origin=None,
    )


def _varied_stage(stage: Stage, channels: Callable[[int], int], generator: random.Random) -> Stage:
    rows = []
    for row in stage.rows:
        repeats = round(row.repeats * 2 ** generator.uniform(-1, 0.6))
        rows.append(Row(_varied_block(row.block, generator), min(max(repeats, 1), MOST_REPEATS)))
    return replace(stage, channels=channels(stage.channels), rows=tuple(rows))


def _varied_block(block: Block, generator: random.Random) -> Block:
    if isinstance(block, Bottleneck):
        by_width = isinstance(block.groups, Width)
        return replace(block, groups=Width(generator.choice(GROUP_WIDTHS))) if by_width else block
    if generator.random() > KEPT and block.TYPE in ("mbconv", "separable"):
        block = replace(block, kernel=generator.choice(KERNELS))
    if isinstance(block, MBConv | FusedMBConv) and block.expansion != 1 and generator.random() > KEPT:
        block = replace(block, expansion=generator.choice(EXPANSIONS))
    return block


def _varied_head(head: Head, channels: Callable[[int], int]) -> Head:
    if isinstance(head, ConvPool):
        return replace(head, channels=channels(head.channels))
    if isinstance(head, ConvPoolHidden):
        return replace(head, channels=channels(head.channels), hidden=channels(head.hidden))
    return head
