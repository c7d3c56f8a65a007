"""resolve: ConvNet -> LayerGraph. Everything that can be derived from the table is derived here, once."""

from __future__ import annotations

from functools import lru_cache

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
from convscale.networks import (
    Basic,
    Block,
    Bottleneck,
    Conv,
    ConvNet,
    ConvPoolHidden,
    Count,
    FusedMBConv,
    Head,
    MBConv,
    Padding,
    Pool,
    Separable,
    Squeeze,
    Stem,
    Width,
)
from convscale.scaling import round_channels


def resolve(network: ConvNet) -> LayerGraph:
    """Every layer of `network` at its resolution."""
    padding = network.padding
    stem = resolve_stem(network.stem, network.input_channels, network.resolution, padding)
    block, stages = stem, []
    for stage in network.stages:
        blocks: list[BlockGraph] = []
        for row in stage.rows:
            for repeat in range(min(2, row.repeats)):  # from the second on, all blocks of a row are alike
                stride = 1 if blocks else stage.stride
                block = resolve_block(row.block, block.out_channels, stage.channels, stride, block.out_size, padding)
                blocks += [block] * (1 if repeat == 0 else row.repeats - 1)
        stages.append(tuple(blocks))
    head = resolve_head(network.head, block.out_channels, block.out_size, network.num_classes)
    return LayerGraph(network, stem, tuple(stages), head)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding (before, after): the extra pixel goes after, at the bottom and right."""
    total = (size - 1) // stride * stride + kernel - size
    if kernel < stride:  # else it is never negative, and a traced size is not compared
        total = max(total, 0)
    return total // 2, total - total // 2


def _function(activation: str | None) -> str | None:
    """A layer's activation: None where the table says "none"."""
    return None if activation == "none" else activation


class _Builder:
    """Appends layers one by one, keeping track of the running position, channels and size."""

    def __init__(self, channels: int, size: int, padding: Padding) -> None:
        self.layers: list[Layer] = []
        self.at = BLOCK_INPUT
        self.channels, self.size = channels, size
        self.in_channels, self.in_size = channels, size
        self.padding = padding

    def finish(self, kind: str) -> BlockGraph:
        shape = self.in_channels, self.in_size, self.channels, self.size
        return BlockGraph(kind, *shape, tuple(self.layers))

    def append(self, layer: Layer) -> None:
        self.at = len(self.layers)
        self.layers.append(layer)
        self.channels, self.size = layer.out_channels, layer.out_size

    def pad(self, kernel: int, stride: int) -> tuple[int, int]:
        if kernel == 1:
            return 0, 0
        if self.padding == "same" and stride > 1:
            return same_padding(self.size, kernel, stride)
        return kernel // 2, kernel // 2

    def conv(
        self,
        name: str,
        out_channels: int,
        kernel: int,
        activation: str | None,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        size = self.size
        self.append(
            ConvLayer(
                name, (self.at,), self.channels, out_channels, size, (size - 1) // stride + 1, kernel, stride,
                groups, False, True, _function(activation), self.pad(kernel, stride),
            )
        )  # fmt: skip

    def depthwise(self, kernel: int, stride: int, activation: str | None) -> None:
        self.conv("depthwise", self.channels, kernel, activation, stride, self.channels)

    def squeeze(self, squeeze: Squeeze | None, block_channels: int) -> None:
        if squeeze is None:
            return
        features, channels, size = self.at, self.channels, self.size
        inner = squeeze_channels(squeeze, block_channels if squeeze.of == "input" else channels)
        self.append(GlobalPoolLayer("squeeze_pool", (features,), channels, size))
        for name, wide, narrow, activation in (
            ("squeeze_reduce", channels, inner, squeeze.activation),
            ("squeeze_expand", inner, channels, squeeze.gate),
        ):
            function = _function(activation)
            self.append(ConvLayer(name, (self.at,), wide, narrow, 1, 1, 1, 1, 1, True, False, function, (0, 0)))
        self.append(MultiplyLayer("squeeze_multiply", (features, self.at), channels, size))

    def max_pool(self, name: str, kernel: int, stride: int) -> None:
        size = self.size
        padding = self.pad(kernel, stride)
        out_size = (size - 1) // stride + 1
        self.append(MaxPoolLayer(name, (self.at,), self.channels, size, out_size, kernel, stride, padding))

    def add(self, shortcut: int, activation: str | None) -> None:
        self.append(AddLayer("add", (shortcut, self.at), self.channels, self.size, _function(activation)))

    def residual_add(self, stride: int, activation: str) -> None:
        """ResNet's shortcut: the block's input, through a 1x1 convolution where the shape changes."""
        branch, shortcut = self.at, BLOCK_INPUT
        channels = self.channels
        if stride != 1 or self.in_channels != channels:
            self.at, self.channels, self.size = BLOCK_INPUT, self.in_channels, self.in_size
            self.conv("shortcut", channels, 1, None, stride)
            shortcut, self.at = self.at, branch
        self.add(shortcut, activation)

    def linear(self, name: str, out_features: int, activation: str | None) -> None:
        self.append(LinearLayer(name, (self.at,), self.channels, out_features, _function(activation)))


@lru_cache(maxsize=1 << 9)
def resolve_block(
    block: Block, in_channels: int, out_channels: int, stride: int, size: int, padding: Padding
) -> BlockGraph:
    """The layers of one block on an input of `in_channels` x `size` x `size`."""
    builder = _Builder(in_channels, size, padding)
    match block:
        case MBConv():
            _mbconv(builder, block, out_channels, stride)
        case FusedMBConv():
            _fused_mbconv(builder, block, out_channels, stride)
        case Separable():
            builder.depthwise(block.kernel, stride, block.activation)
            builder.conv("pointwise", out_channels, 1, block.activation)
        case Basic():
            builder.conv("conv1", out_channels, block.kernel, block.activation, stride)
            builder.conv("conv2", out_channels, block.kernel, None)
            builder.squeeze(block.squeeze, in_channels)
            builder.residual_add(stride, block.activation)
        case Bottleneck():
            inner, groups = bottleneck_width(block, out_channels)
            builder.conv("reduce", inner, 1, block.activation)
            builder.conv("conv", inner, block.kernel, block.activation, stride, groups)
            builder.squeeze(block.squeeze, in_channels)
            builder.conv("project", out_channels, 1, None)
            builder.residual_add(stride, block.activation)
        case Conv():
            builder.conv("conv", out_channels, block.kernel, block.activation, stride)
    return builder.finish(block.TYPE)


def _mbconv(builder: _Builder, block: MBConv, out_channels: int, stride: int) -> None:
    in_channels = builder.channels
    if block.expansion != 1:
        expanded = expanded_channels(in_channels, block.expansion)
        builder.conv("expand", expanded, 1, block.activation)
    builder.depthwise(block.kernel, stride, block.activation)
    builder.squeeze(block.squeeze, in_channels)
    builder.conv("project", out_channels, 1, None)
    if block.skip and stride == 1 and in_channels == out_channels:
        builder.add(BLOCK_INPUT, None)


def _fused_mbconv(builder: _Builder, block: FusedMBConv, out_channels: int, stride: int) -> None:
    in_channels = builder.channels
    if block.expansion == 1:
        builder.conv("conv", out_channels, block.kernel, block.activation, stride)
    else:
        expanded = expanded_channels(in_channels, block.expansion)
        builder.conv("expand", expanded, block.kernel, block.activation, stride)
        builder.squeeze(block.squeeze, in_channels)
        builder.conv("project", out_channels, 1, None)
    if block.skip and stride == 1 and in_channels == out_channels:
        builder.add(BLOCK_INPUT, None)


@lru_cache(maxsize=1 << 9)
def resolve_stem(stem: Stem, in_channels: int, size: int, padding: Padding) -> BlockGraph:
    """The layers of a stem on an image of `in_channels` x `size` x `size`."""
    builder = _Builder(in_channels, size, padding)
    builder.conv("conv", stem.channels, stem.kernel, stem.activation, stem.stride)
    if stem.pool:
        builder.max_pool("pool", 3, 2)
    return builder.finish("stem")


@lru_cache(maxsize=1 << 9)
def resolve_head(head: Head, in_channels: int, size: int, num_classes: int) -> BlockGraph:
    """The layers of a head on features of `in_channels` x `size` x `size`."""
    builder = _Builder(in_channels, size, "same")
    if not isinstance(head, Pool):
        builder.conv("conv", head.channels, 1, head.activation)
    builder.append(GlobalPoolLayer("pool", (builder.at,), builder.channels, size))
    if isinstance(head, ConvPoolHidden):
        builder.linear("hidden", head.hidden, head.activation)
    builder.linear("classifier", num_classes, None)
    return builder.finish("pool" if isinstance(head, Pool) else head.TYPE)


def expanded_channels(channels: int, expansion: float) -> int:
    """The width inside an inverted bottleneck: exact for a whole expansion, else to a multiple of 8."""
    exact = channels * expansion
    return int(exact) if expansion == int(expansion) else round_channels(exact)


def squeeze_channels(squeeze: Squeeze, channels: int) -> int:
    """The inner width of a squeeze on `channels`."""
    exact = channels * squeeze.ratio
    return round_channels(exact, squeeze.round_to) if squeeze.round_to > 1 else max(1, int(exact))


def bottleneck_width(block: Bottleneck, out_channels: int) -> tuple[int, int]:
    """(inner width, groups): the ratio's width rounded to whole groups, at least one."""
    exact = out_channels * block.ratio
    match block.groups:
        case Count(groups=groups):
            return max(1, round(exact / groups)) * groups, groups
        case Width(channels=group_width):
            group_width = min(group_width, max(1, round(exact)))
            groups = max(1, round(exact / group_width))
            return groups * group_width, groups
