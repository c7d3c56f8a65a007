"""The layer graph: every layer of a network with its shapes and edges, as plain data.

A layer names its inputs by position: 0 and up is an earlier layer of the same block, `BLOCK_INPUT` the block's
own input. Sizes are the sides of square feature maps in pixels, shapes are (channels, size, size).
A convolution row holds its norm and activation too, as one unit: conv, norm, activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from convscale.display import Display
from convscale.networks import ConvNet
from convscale.units import printable

BLOCK_INPUT = -1


class ConvLayer(NamedTuple):
    """Convolution, then batch norm where `norm`, then `activation`; `padding` is (before, after) per side at
    this size. SE's 1x1 layers on pooled features are convolutions with a bias and no norm."""

    name: str
    inputs: tuple[int, ...]
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    kernel: int
    stride: int
    groups: int
    bias: bool
    norm: bool
    activation: str | None
    padding: tuple[int, int]


class MaxPoolLayer(NamedTuple):
    """Max pool."""

    name: str
    inputs: tuple[int, ...]
    out_channels: int
    in_size: int
    out_size: int
    kernel: int
    stride: int
    padding: tuple[int, int]


class GlobalPoolLayer(NamedTuple):
    """Mean over the whole feature map; the output has size 1."""

    name: str
    inputs: tuple[int, ...]
    out_channels: int
    in_size: int
    out_size: int = 1


class MultiplyLayer(NamedTuple):
    """Features times the squeeze's gate, broadcast over positions. Inputs: features, gate."""

    name: str
    inputs: tuple[int, ...]
    out_channels: int
    out_size: int


class AddLayer(NamedTuple):
    """Shortcut plus branch, then `activation`. Inputs: shortcut, branch."""

    name: str
    inputs: tuple[int, ...]
    out_channels: int
    out_size: int
    activation: str | None


class LinearLayer(NamedTuple):
    """Fully connected layer with bias, then `activation`."""

    name: str
    inputs: tuple[int, ...]
    in_channels: int
    out_channels: int
    activation: str | None
    out_size: int = 1


Layer = ConvLayer | MaxPoolLayer | GlobalPoolLayer | MultiplyLayer | AddLayer | LinearLayer


class BlockGraph(NamedTuple):
    """A stem, block or head: its layers in the order they run. The last layer's output is the block's output."""

    kind: str
    in_channels: int
    in_size: int
    out_channels: int
    out_size: int
    layers: tuple[Layer, ...]

    def __repr__(self) -> str:
        return (
            f"BlockGraph {printable(self.kind)}: {self.in_channels} channels at {self.in_size} px to "
            f"{self.out_channels} at {self.out_size} px, {len(self.layers)} layers"
        )


class LayerGraph(NamedTuple):
    """All layers of `network`: stem, stages of blocks, head. One chain of blocks."""

    network: ConvNet
    stem: BlockGraph
    stages: tuple[tuple[BlockGraph, ...], ...]
    head: BlockGraph

    def _display(self) -> Display:
        """The shapes and the number of layers of its stages."""
        groups = [("stem", (self.stem,)), *((f"stages.{i}", stage) for i, stage in enumerate(self.stages))]
        rows = tuple(
            (
                name,
                blocks[0].kind,
                str(len(blocks)),
                str(sum(len(block.layers) for block in blocks)),
                f"{blocks[-1].out_channels} x {blocks[-1].out_size} x {blocks[-1].out_size}",
            )
            for name, blocks in [*groups, ("head", (self.head,))]
        )
        total = sum(len(block.layers) for _, block in self.blocks())
        title = f"LayerGraph of {self.network.name}: {total} layers, {self.network.resolution} px"
        return Display(title, ("part", "operator", "blocks", "layers", "output"), rows, left=2)

    def __repr__(self) -> str:
        return self._display().text()

    def _repr_html_(self) -> str:
        return self._display().html()

    def blocks(self) -> Iterator[tuple[str, BlockGraph]]:
        """Every block in the order it runs, with its name: "stem", "stages.0.0", ..., "head"."""
        yield "stem", self.stem
        for stage_index, stage in enumerate(self.stages):
            for block_index, block in enumerate(stage):
                yield f"stages.{stage_index}.{block_index}", block
        yield "head", self.head

    def layers(self) -> Iterator[tuple[str, Layer]]:
        """Every layer in the order it runs, with its full name."""
        for name, block in self.blocks():
            for layer in block.layers:
                yield f"{name}.{layer.name}", layer
