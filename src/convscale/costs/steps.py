"""What a block asks of a device, step by step: the sizes from which latency is predicted.

A step is what engines run in one go: a convolution with its norm and activation, and with the addition after it where
nothing else reads the convolution; a whole squeeze; a pool, an addition, a linear layer. Its sizes are those of one
image, in values and multiply-adds; channels are counted as vectors of 16 hold them, since a vector is computed whole.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from convscale.layers import (
    AddLayer,
    BlockGraph,
    ConvLayer,
    GlobalPoolLayer,
    Layer,
    LinearLayer,
    MaxPoolLayer,
    MultiplyLayer,
)

VECTOR = 16  # fp32 values of a vector register of 512 bits
NARROW = 64  # input channels up to which a convolution's sums are short
SMOOTH = frozenset({"silu", "hard_swish", "gelu", "sigmoid", "hard_sigmoid"})  # more than a comparison per value

KINDS = (
    "dense", "pointwise", "depthwise", "strided depthwise", "grouped", "squeeze", "global pool", "max pool", "add",
    "linear",
)  # fmt: skip
# What the steps of a kind are added up by: `StepSize.terms`.
TERMS = ("steps", "macs", "inputs", "outputs", "weights", "smooth_outputs", "narrow_macs")


class StepSize(NamedTuple):
    """One step. name: that of its first layer; macs: multiply-adds, with channels in whole vectors; inputs, outputs and
    weights: values read and written; side: of its output in pixels; smooth: whether its activation takes exponentials
    or products rather than comparisons."""

    name: str
    kind: str
    macs: int
    inputs: int
    outputs: int
    weights: int
    in_channels: int
    out_channels: int
    side: int
    kernel: int
    smooth: bool

    def terms(self) -> tuple[float, ...]:
        """Its share of the sums that TERMS names."""
        short = self.macs / min(self.in_channels, NARROW)
        return 1, self.macs, self.inputs, self.outputs, self.weights, self.outputs * self.smooth, short


def block_steps(block: BlockGraph) -> tuple[StepSize, ...]:
    """The steps of a block, in the order they run, each named by the first of its layers."""
    readers = Counter(position for layer in block.layers for position in layer.inputs)
    added: dict[int, AddLayer] = {}
    squeezes: dict[int, tuple[int, ...]] = {}  # by the position of the pool, with all positions
    for position, layer in enumerate(block.layers):
        if isinstance(layer, AddLayer) and _takes_addition(block, max(layer.inputs), readers):
            added[max(layer.inputs)] = layer
        elif isinstance(layer, MultiplyLayer):
            expand = layer.inputs[1]
            reduce = block.layers[expand].inputs[0]
            pool = block.layers[reduce].inputs[0]
            squeezes[pool] = (pool, reduce, expand, position)
    done = {place for places in squeezes.values() for place in places[1:]}
    sums = set(map(id, added.values()))
    return tuple(
        _squeeze(block, squeezes[position]) if position in squeezes else _size(layer, added.get(position))
        for position, layer in enumerate(block.layers)
        if position not in done and id(layer) not in sums
    )


def _squeeze(block: BlockGraph, places: tuple[int, ...]) -> StepSize:
    """A pool, two convolutions of one pixel and a multiplication: the features are read twice and written once."""
    pool, reduce, *_ = (block.layers[place] for place in places)
    channels, inner = pool.out_channels, reduce.out_channels
    values = block.layers[places[-1]].out_size ** 2 * channels
    macs = channels * _vectors(inner) + inner * _vectors(channels)
    side = block.layers[places[-1]].out_size
    return StepSize(
        pool.name, "squeeze", macs, 2 * values, values, 2 * channels * inner, channels, inner, side, 1, True
    )


def _takes_addition(block: BlockGraph, position: int, readers: Counter[int]) -> bool:
    """Whether the layer there writes nothing but one side of an addition, and may as well add."""
    layer = block.layers[position] if position >= 0 else None
    return isinstance(layer, ConvLayer) and layer.activation is None and readers[position] == 1


def _size(layer: Layer, added: AddLayer | None) -> StepSize:
    outputs = layer.out_channels * layer.out_size**2
    smooth = getattr(added or layer, "activation", None) in SMOOTH
    shape = layer.out_channels, layer.out_size
    if isinstance(layer, ConvLayer):
        width = layer.in_channels // layer.groups
        weights = layer.kernel**2 * width * layer.out_channels
        padded = layer.kernel**2 * (_vectors(width) if layer.groups == 1 else width) * _vectors(layer.out_channels)
        inputs = layer.in_channels * layer.in_size**2 + (outputs if added else 0)
        return StepSize(
            layer.name, _kind(layer), padded * layer.out_size**2, inputs, outputs, weights, layer.in_channels, *shape,
            layer.kernel, smooth,
        )  # fmt: skip
    if isinstance(layer, LinearLayer):
        weights = layer.in_channels * layer.out_channels
        macs = layer.in_channels * _vectors(layer.out_channels)
        return StepSize(
            layer.name, "linear", macs, layer.in_channels, outputs, weights, layer.in_channels, *shape, 1, smooth
        )
    side = layer.in_size if isinstance(layer, MaxPoolLayer | GlobalPoolLayer) else layer.out_size
    inputs = layer.out_channels * side**2 * (2 if isinstance(layer, AddLayer) else 1)
    kernel = layer.kernel if isinstance(layer, MaxPoolLayer) else 1
    return StepSize(
        layer.name, _kind(layer), 0, inputs, outputs, 0, layer.out_channels, layer.out_channels, side, kernel, smooth
    )


def _kind(layer: Layer) -> str:
    """One of KINDS."""
    if isinstance(layer, ConvLayer):
        if layer.groups == 1:
            return "pointwise" if layer.kernel == 1 else "dense"
        if layer.groups != layer.in_channels or layer.in_channels != layer.out_channels:
            return "grouped"
        return "depthwise" if layer.stride == 1 else "strided depthwise"
    if isinstance(layer, MaxPoolLayer):
        return "max pool"
    if isinstance(layer, GlobalPoolLayer):
        return "global pool"
    return "add"


def _vectors(channels: int) -> int:
    return -(-channels // VECTOR) * VECTOR
