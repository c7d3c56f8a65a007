"""scale: ConvNet -> ConvNet, rounding once, always from the baseline."""

from __future__ import annotations

from dataclasses import replace

from convscale.errors import ConfigError
from convscale.networks import (
    Block,
    Bottleneck,
    ConvNet,
    ConvPool,
    ConvPoolHidden,
    Head,
    Origin,
    Row,
    ScalingRules,
    Stage,
    Stem,
    Width,
)
from convscale.networks.rounding import round_channels, round_group_width, round_repeats, round_resolution
from convscale.scaling.laws import Scaling


def scale(network: ConvNet, scaling: Scaling, *, name: str | None = None) -> ConvNet:
    """Scale a baseline's repeats, channels and resolution by the network's own rules.

    A multiplier of exactly 1 leaves its dimension untouched. The name says what was built: blocks, the width's
    multiplier, pixels. Raises ConfigError when `network` is itself a
    scaled network: rounding twice gives another network than rounding once.
    """
    if not isinstance(network, ConvNet):
        raise ConfigError(
            f"scale takes a ConvNet, not {type(network).__name__}", hint="convscale.scale takes names and files too"
        )
    if not isinstance(scaling, Scaling):
        raise ConfigError(
            f"scale takes a Scaling, not {type(scaling).__name__}", hint="a law becomes one at a phi: law(2)"
        )
    if network.origin is not None:
        raise ConfigError(
            f"{network.name} is already scaled from {network.origin.baseline}",
            hint=f"scale {network.origin.baseline} instead; to take {network.name} as a baseline of its own, "
            "remove its [origin]",
        )
    if scaling == Scaling():
        return network if name is None else replace(network, name=name)
    rules = network.rules
    resolution = network.resolution
    if scaling.resolution != 1:
        resolution = round_resolution(
            network.resolution * scaling.resolution, rules.resolution_step, network.total_stride
        )
    stages = tuple(_scale_stage(stage, scaling, rules) for stage in network.stages)
    blocks = sum(stage.repeats for stage in stages)
    return replace(
        network,
        name=name or f"{network.name}-{blocks}blocks-w{scaling.width:.3g}-{resolution}px",
        resolution=resolution,
        stem=_scale_stem(network.stem, scaling.width, rules),
        stages=stages,
        head=_scale_head(network.head, scaling.width, rules),
        origin=Origin(network.name, scaling.depth, scaling.width, scaling.resolution),
    )


def _channels(channels: int, width: float, rules: ScalingRules, fixed: bool) -> int:
    if fixed or width == 1:
        return channels
    return round_channels(channels * width, rules.divisor, rules.floor)


def _scale_stem(stem: Stem, width: float, rules: ScalingRules) -> Stem:
    return replace(stem, channels=_channels(stem.channels, width, rules, stem.fixed_width))


def _scale_head(head: Head, width: float, rules: ScalingRules) -> Head:
    if isinstance(head, ConvPool):
        width = width if head.shrinks else max(1.0, width)
        return replace(head, channels=_channels(head.channels, width, rules, head.fixed_width))
    if isinstance(head, ConvPoolHidden):
        return replace(
            head,
            channels=_channels(head.channels, width, rules, head.fixed_width),
            hidden=_channels(head.hidden, width, rules, head.fixed_width or head.fixed_hidden),
        )
    return head


def _scale_stage(stage: Stage, scaling: Scaling, rules: ScalingRules) -> Stage:
    rows = stage.rows
    if scaling.depth != 1 and not stage.fixed_depth:
        rows = scale_rows(rows, round_repeats(stage.repeats * scaling.depth, rules.repeats))
    if scaling.width != 1 and not stage.fixed_width:
        rows = tuple(_scale_groups(row, scaling.width) for row in rows)
    channels = _channels(stage.channels, scaling.width, rules, stage.fixed_width)
    return Stage(channels, stage.stride, rows, stage.fixed_depth, stage.fixed_width)


def scale_rows(rows: tuple[Row, ...], repeats: int) -> tuple[Row, ...]:
    """Keep `repeats` blocks, taking from the end, or extend the last row to reach them."""
    kept = []
    for index, row in enumerate(rows):
        take = repeats if index == len(rows) - 1 else min(row.repeats, repeats)
        if take:
            kept.append(Row(row.block, take))
        repeats -= take
    return tuple(kept)


def _scale_groups(row: Row, width: float) -> Row:
    """A group width grows with the width; a number of groups stays."""
    block: Block = row.block
    if isinstance(block, Bottleneck) and isinstance(block.groups, Width):
        groups = Width(round_group_width(block.groups.channels * width))
        return Row(replace(block, groups=groups), row.repeats)
    return row
