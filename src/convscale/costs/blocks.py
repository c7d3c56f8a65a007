"""Costs of one block: what its layers hold, compute and keep in memory.

Memory follows eager PyTorch, as the modules built from the same graph run:

- inference: a convolution writes a new tensor, its norm another (the convolution's is freed after it); the
  activation, the squeeze's multiply and the addition work in place; a tensor is freed after its last use, a
  block's input after the block; SAME padding that is not symmetric copies the input for that layer; a max pool
  makes 8-byte indices beside its output;
- training: kept for the backward pass are the inputs of convolutions (or their padded copies), of norms, of
  linear layers, of max pools (with 8-byte indices) and of activations whose gradient needs the input (SiLU,
  ReLU6, hard swish, hard sigmoid, GELU), the outputs of the others (ReLU, sigmoid), and both factors of the
  squeeze's multiply. A tensor kept by several is counted once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from convscale.layers import (
    BLOCK_INPUT,
    AddLayer,
    BlockGraph,
    ConvLayer,
    Layer,
    LinearLayer,
    MaxPoolLayer,
    MultiplyLayer,
)

# Activations whose gradient is computed from their input; the others use their output.
KEEPS_INPUT = frozenset({"silu", "relu6", "hard_swish", "hard_sigmoid", "gelu"})


class LayerCost(NamedTuple):
    """Parameters, buffer values (BN statistics), multiply-adds, and convolution outputs of one layer."""

    params: int
    buffers: int
    macs: int
    activations: int


class BlockCost(NamedTuple):
    """The sum of a block's layers, and its memory in values (not bytes) at batch 1.

    `peak` counts the live tensors of the busiest moment, the block's input included; `kept` what training
    keeps per image inside the block; `keeps_input` and `keeps_output` say whether it keeps those too (a
    neighbour may keep the same tensor). `tensors` counts the named parameters and buffers, `out_values` the values
    of the output.
    """

    params: int
    buffers: int
    macs: int
    activations: int
    tensors: int
    peak: int
    kept: int
    keeps_input: bool
    keeps_output: bool
    out_values: int


_KEEPS_ITS_INPUTS = (ConvLayer, LinearLayer, MaxPoolLayer, MultiplyLayer)
_HAS_ACTIVATION = (ConvLayer, LinearLayer, AddLayer)
_NO_COST = LayerCost(0, 0, 0, 0)


def layer_cost(layer: Layer) -> LayerCost:
    """Parameters, buffers, MACs and activations of one layer. Only convolutions and linear layers have any."""
    if isinstance(layer, ConvLayer):
        out = layer.out_channels
        weights = layer.kernel * layer.kernel * (layer.in_channels // layer.groups) * out
        positions = layer.out_size * layer.out_size
        norm = 2 * out if layer.norm else 0
        bias = out if layer.bias else 0
        return LayerCost(weights + bias + norm, norm, weights * positions, out * positions)
    if isinstance(layer, LinearLayer):
        weights = layer.in_channels * layer.out_channels
        return LayerCost(weights + layer.out_channels, 0, weights, 0)
    return _NO_COST


@lru_cache(maxsize=1 << 9)
def block_cost(block: BlockGraph) -> BlockCost:
    """The costs of a block, summed and scheduled over its layers."""
    params = buffers = macs = activations = tensors = 0
    outs, copies = _sizes(block)
    for layer in block.layers:
        if isinstance(layer, ConvLayer):
            tensors += 1 + layer.bias + 4 * layer.norm
        elif isinstance(layer, LinearLayer):
            tensors += 2
        else:
            continue
        layer_params, layer_buffers, layer_macs, layer_activations = layer_cost(layer)
        params += layer_params
        buffers += layer_buffers
        macs += layer_macs
        activations += layer_activations
    peak = max(_live(block, outs, copies))
    kept, whole = _kept_for_training(block, outs, copies)
    last = len(outs) - 1
    inside = sum(kept) + sum(outs[index] for index in whole if index not in (BLOCK_INPUT, last))
    return BlockCost(
        params, buffers, macs, activations, tensors, peak, inside, BLOCK_INPUT in whole, last in whole, outs[last]
    )


def layer_memory(block: BlockGraph) -> tuple[list[int], list[int], bool]:
    """For each layer the values alive at its busiest moment in inference, and those that training keeps of it per
    image; and whether the block's input is kept. The last layer's output counts where the block itself keeps it."""
    outs, copies = _sizes(block)
    kept, whole = _kept_for_training(block, outs, copies)
    return (
        _live(block, outs, copies),
        [value + (outs[index] if index in whole else 0) for index, value in enumerate(kept)],
        BLOCK_INPUT in whole,
    )


def _sizes(block: BlockGraph) -> tuple[list[int], list[int]]:
    """The values that each layer puts out, and those of the padded copy of its input that it makes."""
    outs = [layer.out_channels * layer.out_size * layer.out_size for layer in block.layers]
    return outs, [_padded_copy(layer) for layer in block.layers]


def _padded_copy(layer: Layer) -> int:
    """Values of the copy that asymmetric padding makes, 0 where the layer pads by itself."""
    if not isinstance(layer, (ConvLayer, MaxPoolLayer)) or layer.padding[0] == layer.padding[1]:
        return 0
    channels = layer.in_channels if isinstance(layer, ConvLayer) else layer.out_channels
    return int(channels * (layer.in_size + sum(layer.padding)) ** 2)


def _live(block: BlockGraph, outs: list[int], copies: list[int]) -> list[int]:
    """Values alive at each layer's busiest moment in inference, the block's input included."""
    last_use = {position: index for index, layer in enumerate(block.layers) for position in layer.inputs}
    alive = {BLOCK_INPUT: block.in_channels * block.in_size**2}
    now = alive[BLOCK_INPUT]
    moments = []
    for index, layer in enumerate(block.layers):
        working = copies[index]
        if isinstance(layer, MultiplyLayer):
            alive[index] = alive.pop(layer.inputs[0])  # in place
        elif isinstance(layer, AddLayer):
            alive[index] = alive.pop(layer.inputs[1])
        else:
            alive[index] = outs[index]
            now += outs[index]
            if isinstance(layer, ConvLayer) and layer.norm:
                working = max(working, outs[index])
            elif isinstance(layer, MaxPoolLayer):
                working += 2 * outs[index]  # int64 indices, in 4-byte values
        moments.append(now + working)
        for position in layer.inputs:
            if last_use[position] == index and position != BLOCK_INPUT:
                now -= alive.pop(position, 0)
    return moments


def _kept_for_training(block: BlockGraph, outs: list[int], copies: list[int]) -> tuple[list[int], set[int]]:
    """Values that each layer keeps per image beside its output, and the positions whose tensor is kept whole."""
    whole: set[int] = set()
    kept = []
    for index, layer in enumerate(block.layers):
        inside = copies[index]
        if isinstance(layer, _KEEPS_ITS_INPUTS) and not copies[index]:
            whole.update(layer.inputs)
        if isinstance(layer, MaxPoolLayer):
            inside += 2 * outs[index]
        if isinstance(layer, ConvLayer) and layer.norm:
            inside += outs[index]
        if isinstance(layer, _HAS_ACTIVATION) and layer.activation:
            if layer.activation in KEEPS_INPUT:
                inside += outs[index]
            else:
                whole.add(index)
        kept.append(inside)
    return kept, whole
