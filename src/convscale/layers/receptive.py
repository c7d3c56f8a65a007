"""Receptive fields: which pixels of the input each cell of a feature map sees, from the layer graph alone.

A cell's field has the same width everywhere and moves by whole pixels from cell to cell, so that three numbers say
where all of them lie. Squeezes see everything, everywhere; they weigh channels and have no place, and do not count.
"""

from __future__ import annotations

from typing import NamedTuple

from convscale.layers.graph import (
    BLOCK_INPUT,
    BlockGraph,
    ConvLayer,
    GlobalPoolLayer,
    Layer,
    LayerGraph,
    LinearLayer,
    MaxPoolLayer,
    MultiplyLayer,
)


class ReceptiveField(NamedTuple):
    """Along one side, in pixels: cell 0 sees `first` to `last`, both included, and each next cell the same moved by
    `step`. Where `first` is negative, padding is seen."""

    first: int
    last: int
    step: int

    @property
    def centre(self) -> float:
        """The middle of what cell 0 sees; that of cell i lies i * step further. Pixel 0 has its middle at 0."""
        return (self.first + self.last) / 2

    @property
    def width(self) -> int:
        """Pixels that a cell sees."""
        return self.last - self.first + 1


PIXEL = ReceptiveField(0, 0, 1)


def receptive_fields(graph: LayerGraph) -> dict[str, ReceptiveField]:
    """The fields by name, of the layers ("head.conv"), blocks ("stages.3.0") and stages ("stages.3") that have a place,
    which pools over the whole map and what follows them have not.

    They are those along a side of the graph's resolution; another side is a graph of that resolution, since SAME
    padding depends on it.
    """
    found: dict[str, ReceptiveField] = {}
    field: ReceptiveField | None = PIXEL
    for name, block in graph.blocks():
        fields = _of_block(block, field)
        for layer, seen in zip(block.layers, fields, strict=True):
            if seen is not None:
                found[f"{name}.{layer.name}"] = seen
        field = fields[-1]
        if field is not None:
            found[name] = field
            if name.startswith("stages."):
                found[name.rpartition(".")[0]] = field
    return found


def _of_block(block: BlockGraph, field: ReceptiveField | None) -> list[ReceptiveField | None]:
    """The field of each layer of a block whose input has `field`; None without a place."""
    fields: dict[int, ReceptiveField | None] = {BLOCK_INPUT: field}
    for index, layer in enumerate(block.layers):
        fields[index] = _of_layer(layer, [fields[position] for position in layer.inputs])
    return [fields[index] for index in range(len(block.layers))]


def _of_layer(layer: Layer, inputs: list[ReceptiveField | None]) -> ReceptiveField | None:
    """The field of a layer, of those of its inputs."""
    match layer:
        case GlobalPoolLayer() | LinearLayer():
            return None
        case ConvLayer() | MaxPoolLayer():
            return None if inputs[0] is None else _through(inputs[0], layer.kernel, layer.stride, layer.padding[0])
        case MultiplyLayer():
            return inputs[0]  # the gate has no place
    placed = [one for one in inputs if one is not None]
    return ReceptiveField(
        min(one.first for one in placed), max(one.last for one in placed), max(one.step for one in placed)
    )


def _through(field: ReceptiveField, kernel: int, stride: int, before: int) -> ReceptiveField:
    """Of a window of `kernel` cells, moved by `stride`, that begins `before` cells before the first."""
    first, last, step = field
    return ReceptiveField(first - step * before, last + step * (kernel - 1 - before), step * stride)
