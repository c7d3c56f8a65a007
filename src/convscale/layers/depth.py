"""How deep a network is to its gradients: the fewest layers between its input and its output."""

from __future__ import annotations

from convscale.layers.graph import BLOCK_INPUT, AddLayer, BlockGraph, ConvLayer
from convscale.layers.resolving import resolve
from convscale.networks import ConvNet


def effective_depth(network: ConvNet) -> int:
    """Convolutions and additions on the shortest path through `network`: a block with a shortcut counts once, one
    without it with its convolutions (arXiv 2602.07494)."""
    return sum(_shortest(block) for _, block in resolve(network).blocks())


def _shortest(block: BlockGraph) -> int:
    lengths = {BLOCK_INPUT: 0}
    for position, layer in enumerate(block.layers):
        lengths[position] = min(lengths[one] for one in layer.inputs) + isinstance(layer, ConvLayer | AddLayer)
    return lengths[len(block.layers) - 1]
