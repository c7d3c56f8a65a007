"""build: LayerGraph -> nn.Module. The module runs the graph's rows in the graph's order, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from convscale.errors import ConfigError
from convscale.layers import BLOCK_INPUT, AddLayer, BlockGraph, MultiplyLayer, resolve
from convscale.networks import ConvNet
from convscale.nn.captures import capture
from convscale.nn.init import initialise
from convscale.nn.layers import Add, Multiply, Row, build_layer, may_overwrite
from convscale.nn.observers import has_hooks, is_eager
from convscale.openers import opens_network
from convscale.preprocessing import Preprocessing

# TensorFlow's momentum 0.99 (efficientnet_builder.py:187) in PyTorch's convention.
NORM_MOMENTUM = 0.01


class BlockModule(nn.Module):
    """A stem, block or head: the modules of its rows, and the edges between them."""

    def __init__(
        self, block: BlockGraph, network: ConvNet, *, dropout: float, drop_path: float, norm_momentum: float
    ) -> None:
        super().__init__()
        for layer in block.layers:
            self.add_module(
                layer.name,
                build_layer(layer, network, dropout=dropout, drop_path=drop_path, norm_momentum=norm_momentum),
            )
        self.edges = tuple(layer.inputs for layer in block.layers)
        self.combines = any(isinstance(layer, AddLayer | MultiplyLayer) for layer in block.layers)
        last_use = {position: index for index, inputs in enumerate(self.edges) for position in inputs}
        self.finished = tuple(
            tuple(position for position, last in last_use.items() if last == index) for index in range(len(self.edges))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the rows in order, releasing each tensor after its last use."""
        overwrites = self._overwrites(x)
        tensors = {BLOCK_INPUT: x}
        del x
        for index, row in enumerate(self.children()):
            run = row.in_place if overwrites and isinstance(row, Multiply | Add) else row
            tensors[index] = run(*[tensors[position] for position in self.edges[index]])
            for position in self.finished[index]:
                del tensors[position]
        return tensors[len(self.edges) - 1]

    def _overwrites(self, x: Tensor) -> bool:
        """Whether products and sums take the place of their inputs: nobody else sees any of them."""
        rows = self.children()
        return self.combines and may_overwrite(x) and all(isinstance(row, Row) and not row.is_seen() for row in rows)


class Model(nn.Module):
    """A network that can run: `stem`, `stages` of blocks, `head`. Inputs are (n, input_channels, h, w) floats
    of any size from one pixel up, not only the network's resolution; outputs are (n, num_classes) logits."""

    def __init__(
        self,
        network: ConvNet,
        *,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm_momentum: float = NORM_MOMENTUM,
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocessing: Preprocessing | None = None  # of a model that was loaded, as its class names
        self.classes: tuple[str, ...] = ()
        graph = resolve(network)
        count = network.num_blocks
        index = 0

        def module(block: BlockGraph, rate: float) -> BlockModule:
            return BlockModule(block, network, dropout=dropout, drop_path=rate, norm_momentum=norm_momentum)

        self.stem = module(graph.stem, 0.0)
        self.stages: nn.ModuleList = nn.ModuleList()
        for stage in graph.stages:
            blocks = nn.Sequential()
            for block in stage:
                # The rate rises over all blocks from 0; the last has (count - 1) / count of drop_path.
                blocks.append(module(block, drop_path * index / count))
                index += 1
            self.stages.append(blocks)
        self.head = module(graph.head, 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """(n, input_channels, h, w) -> logits (n, num_classes)."""
        logits: Tensor = self.head(self._trunk(images))
        return logits

    def _trunk(self, images: Tensor) -> Tensor:
        """Stem and stages."""
        x: Tensor = self.stem(images)
        for stage in self.stages:
            if type(stage) is not nn.Sequential or has_hooks(stage) or not is_eager(x):
                x = stage(x)
                continue
            for block in stage.children():  # not `stage(x)`, which would hold on to the stage's input
                x = block(x)
        return x

    def pooled(self, images: Tensor) -> Tensor:
        """(n, input_channels, h, w) -> the means that the classifier (or the hidden layer) sees, (n, channels)."""
        x = self._trunk(images)
        for name, layer in self.head.named_children():
            x = layer(x)
            if name == "pool":
                break
        return x.flatten(1)

    def classified(self, images: Tensor) -> Tensor:
        """(n, input_channels, h, w) -> what the classifier sees, (n, features): `pooled`, or the hidden layer's values
        where the head has one."""
        x = self._trunk(images)
        for name, layer in self.head.named_children():
            if name != "classifier":
                x = layer(x)
        return x.flatten(1)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """The outputs of the stem and of each stage by name, "stem", "stages.0", ...; `strides` says how many
        input pixels a step of each spans."""
        x = self.stem(images)
        outputs = {"stem": x}
        for index, stage in enumerate(self.stages):
            x = stage(x)
            outputs[f"stages.{index}"] = x
        return outputs

    def captured(self, images: Tensor, names: Sequence[str] | str) -> dict[str, Tensor]:
        """The outputs of layers by name, in the order of `names`: (n, channels, h, w), or (n,
        features) for "head" and the layers of the classifier. Gradients flow through them.

        Names are those of `named_modules()`: "stem", "stages.3" (a stage), "stages.3.0" (a block), "head.conv" (a row
        of the layer graph: convolution, norm, activation), "stages.3.0.depthwise.norm" (a part of one); "head" gives
        the logits. Raises UnknownNameError for others.
        """
        wanted = [names] if isinstance(names, str) else names
        return capture(self, lambda: self.forward(images), wanted)

    @property
    def strides(self) -> dict[str, int]:
        """Input pixels per step of each named feature map."""
        network = self.network
        stride = network.stem.stride * (2 if network.stem.pool else 1)
        strides = {"stem": stride}
        for index, stage in enumerate(network.stages):
            stride *= stage.stride
            strides[f"stages.{index}"] = stride
        return strides


@opens_network
def build(
    network: ConvNet,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    *,
    norm_momentum: float = NORM_MOMENTUM,
    seed: int | None = None,
) -> Model:
    """A module with freshly initialised weights.

    dropout: probability before the classifier. drop_path: the rate that the last block approaches, rising linearly
    over all blocks. seed: makes the weights repeatable and leaves PyTorch's global generator as it was.
    Raises ConfigError for rates outside [0, 1).
    """
    for name, rate in (("dropout", dropout), ("drop_path", drop_path)):
        if not 0 <= rate < 1:
            raise ConfigError(f"{name} {rate} is not allowed", hint="a probability from 0 to below 1")
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = Model(network, dropout=dropout, drop_path=drop_path, norm_momentum=norm_momentum)
        initialise(model)
    return model
