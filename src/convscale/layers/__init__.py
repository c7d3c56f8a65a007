"""resolve: from a network's table to the graph of all its layers, the one truth for costs and modules."""

from convscale.layers.depth import effective_depth
from convscale.layers.graph import (
    BLOCK_INPUT,
    AddLayer,
    BlockGraph,
    ConvLayer,
    GlobalPoolLayer,
    Layer,
    LayerGraph,
    LinearLayer,
    MaxPoolLayer,
    MultiplyLayer,
)
from convscale.layers.receptive import ReceptiveField, receptive_fields
from convscale.layers.resolving import resolve, resolve_block, resolve_head, resolve_stem, same_padding

__all__ = [
    "BLOCK_INPUT",
    "AddLayer",
    "BlockGraph",
    "ConvLayer",
    "GlobalPoolLayer",
    "Layer",
    "LayerGraph",
    "LinearLayer",
    "MaxPoolLayer",
    "MultiplyLayer",
    "ReceptiveField",
    "effective_depth",
    "receptive_fields",
    "resolve",
    "resolve_block",
    "resolve_head",
    "resolve_stem",
    "same_padding",
]
