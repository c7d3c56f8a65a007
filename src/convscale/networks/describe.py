"""Operators in the paper's words: "MBConv6, k5x5"."""

from __future__ import annotations

from convscale.networks.blocks import Basic, Block, Bottleneck, Conv, Count, FusedMBConv, MBConv, Separable
from convscale.networks.convnet import ConvNet, ConvPool, ConvPoolHidden, Stage


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
