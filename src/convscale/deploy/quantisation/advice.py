"""What makes a network hard to quantise, told from its table alone, and the same network without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from convscale.costs import cost
from convscale.errors import ConvscaleError
from convscale.networks import ConvNet, Row
from convscale.units import format_count

# Their outputs are a long tail and a short one, or hardly negative: 256 even steps spend most of them on nothing.
HARD = ("silu", "hard_swish", "gelu")
EASY = "relu6"


def hard_to_quantise(network: ConvNet) -> tuple[str, ...]:
    """What in a network suffers most in int8, by what EfficientNet-Lite left out for that: "silu", "squeeze"."""
    blocks = [row.block for stage in network.stages for row in stage.rows]
    parts = [network.stem, network.head, *blocks]
    activations = {getattr(part, "activation", None) for part in parts}
    squeezes = any(getattr(block, "squeeze", None) is not None for block in blocks)
    return (*(name for name in HARD if name in activations), *(("squeeze",) if squeezes else ()))


def lite_form(network: ConvNet) -> ConvNet:
    """The same table with ReLU6 for hard activations and without squeezes, as EfficientNet-Lite is of EfficientNet."""
    stages = tuple(
        replace(stage, rows=tuple(Row(_plainer(row.block), row.repeats) for row in stage.rows))
        for stage in network.stages
    )
    return replace(
        network, name=f"{network.name}-lite", stem=_plainer(network.stem), head=_plainer(network.head), stages=stages
    )


def advice(network: ConvNet) -> str:
    """In a sentence, with both costs; "" for a network that has nothing of this kind."""
    reasons = hard_to_quantise(network)
    if not reasons:
        return ""
    try:
        lite = lite_form(network)
    except ConvscaleError:  # a block that needs what was to be left out
        return f"{' and '.join(reasons)} quantise badly"
    costs = " against ".join(
        f"{format_count(one.params)} parameters and {format_count(one.macs)} MACs" for one in map(cost, (lite, network))
    )
    return f"{' and '.join(reasons)} quantise badly: its Lite form, with {EASY} and no squeeze, has {costs}"


def _plainer(part: Any) -> Any:
    changes: dict[str, Any] = {}
    if getattr(part, "activation", None) in HARD:
        changes["activation"] = EASY
    if getattr(part, "squeeze", None) is not None:
        changes["squeeze"] = None
    return replace(part, **changes) if changes else part
