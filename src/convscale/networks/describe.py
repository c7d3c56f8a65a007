"""Operators in the paper's words: "MBConv6, k5x5"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convscale.display import Display
from convscale.networks.blocks import Basic, Block, Bottleneck, Conv, Count, FusedMBConv, MBConv, Separable
from convscale.networks.parts import ConvPool, ConvPoolHidden, Stage

if TYPE_CHECKING:
    from convscale.networks.convnet import ConvNet


def describe_block(block: Block) -> str:
    """An operator as table 1 of the paper names it."""
    match block:
        case MBConv():
            text = f"MBConv{block.expansion:.3g}"
        case FusedMBConv():
            text = f"Fused-MBConv{block.expansion:.3g}"
        case Separable():
            text = "Separable"
        case Basic():
            text = "Basic"
        case Bottleneck(groups=Count(groups=count)):
            text = "Bottleneck" if count == 1 else f"Bottleneck, {count} groups"
        case Bottleneck(groups=width):
            text = f"Bottleneck, groups of {width.channels}"  # type: ignore[union-attr]
        case Conv():
            text = "Conv"
    text = f"{text}, k{block.kernel}x{block.kernel}" + (", SE" if getattr(block, "squeeze", None) else "")
    return text + (", linear" if block.activation == "none" else "")


def describe_stage(stage: Stage) -> str:
    """The operators of a stage; several where its rows differ."""
    return " + ".join(dict.fromkeys(describe_block(row.block) for row in stage.rows))


def describe_head(network: ConvNet) -> str:
    """The head's layers in order."""
    match network.head:
        case ConvPool(channels=channels):
            return f"Conv1x1 {channels} & Pool & FC"
        case ConvPoolHidden(channels=channels, hidden=hidden):
            return f"Conv1x1 {channels} & Pool & FC {hidden} & FC"
        case _:
            return "Pool & FC"


def describe_stem(network: ConvNet) -> str:
    """The stem's layers in order."""
    stem = network.stem
    return f"Conv, k{stem.kernel}x{stem.kernel}" + (" & MaxPool" if stem.pool else "")


def describe_network(network: ConvNet) -> Display:
    """A network as table 1 of the paper: its stem, stages and head, one row each."""
    stem, total = network.stem, network.num_blocks
    stages = [
        (str(index), describe_stage(stage), str(stage.channels), str(stage.stride), str(stage.repeats))
        for index, stage in enumerate(network.stages, start=1)
    ]
    origin = network.origin
    return Display(
        f"ConvNet {network.name}: {network.resolution} px, {network.input_channels} input channels, "
        f"{network.num_classes:,} classes, {total} blocks",
        ("stage", "operator", "channels", "stride", "repeats"),
        (
            ("stem", describe_stem(network), str(stem.channels), str(stem.stride), ""),
            *stages,
            ("head", describe_head(network), "", "", ""),
        ),
        notes=()
        if origin is None
        else (
            f"from {origin.baseline}: depth x{origin.depth:.3g}, width x{origin.width:.3g}, "
            f"resolution x{origin.resolution:.3g}",
        ),
        left=2,
    )
