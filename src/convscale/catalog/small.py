"""Small baselines of our own for images of about 32 pixels, each in the style of a published family; the tiny ones are
for studies of equal cost, with rules fine enough for a single dimension to meet one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convscale.networks import (
    Basic,
    ConvNet,
    ConvPool,
    MBConv,
    Pool,
    Row,
    ScalingRules,
    Separable,
    Squeeze,
    Stage,
    Stem,
)

FINE = ScalingRules(divisor=2, repeats="nearest")  # of the tiny networks, so that each dimension alone meets a cost


def small_mbconv() -> ConvNet:
    """EfficientNet's blocks for 32 px images: no stride in the stem, three halvings."""
    # expansion, channels, repeats, stride
    table = ((1, 16, 1, 1), (4, 24, 2, 2), (4, 40, 2, 2), (4, 80, 2, 2))
    return ConvNet(
        "small-mbconv",
        resolution=32,
        stem=Stem(16, stride=1),
        stages=_mbconv_stages(table, MBConv(3, 1, squeeze=Squeeze(0.25))),
        head=ConvPool(256),
        num_classes=10,
        padding="symmetric",
    )


def small_mobilenet_v1() -> ConvNet:
    """MobileNetV1's blocks for 32 px images: no stride in the stem, three halvings."""
    return _mobilenet_v1("small-mobilenet-v1", ((32, 1, 1), (64, 2, 2), (128, 2, 2), (256, 2, 2)), ScalingRules())


def small_mobilenet_v2() -> ConvNet:
    """MobileNetV2's blocks for 32 px images: no stride in the stem, three halvings."""
    # expansion, channels, repeats, stride
    table = ((1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 2), (4, 64, 3, 2))
    return ConvNet(
        "small-mobilenet-v2",
        resolution=32,
        stem=Stem(16, stride=1, activation="relu6"),
        stages=_mbconv_stages(table, MBConv(3, 1, activation="relu6")),
        head=ConvPool(256, activation="relu6"),
        num_classes=10,
        padding="symmetric",
    )


def small_resnet() -> ConvNet:
    """ResNet's basic blocks for 32 px images, after the CIFAR-10 networks of He et al. 2016, section 4.2."""
    return ConvNet(
        "small-resnet",
        resolution=32,
        stem=Stem(16, stride=1, activation="relu"),
        stages=tuple(Stage(channels, stride, (Row(Basic(), 1),)) for channels, stride in ((16, 1), (32, 2), (64, 2))),
        head=Pool(),
        num_classes=10,
        padding="symmetric",
        norm_eps=1e-5,
    )


def tiny_mbconv() -> ConvNet:
    """EfficientNet's blocks at 3M MACs, to be scaled in fine steps: at 3.88 times the cost each dimension alone, and
    the paper's law, have a network within 1 %."""
    # expansion, channels, repeats, stride
    table = ((1, 8, 1, 1), (4, 16, 2, 2), (4, 24, 2, 2), (4, 48, 2, 2))
    return ConvNet(
        "tiny-mbconv",
        resolution=32,
        stem=Stem(8, stride=1),
        stages=_mbconv_stages(table, MBConv(3, 1, squeeze=Squeeze(0.25))),
        head=ConvPool(192),
        num_classes=10,
        padding="symmetric",
        rules=FINE,
    )


def tiny_mobilenet_v1() -> ConvNet:
    """MobileNetV1's blocks at 3M MACs, to be scaled in fine steps: at 3.9 times the cost each dimension alone, and the
    paper's law, have a network within 2 %."""
    return _mobilenet_v1("tiny-mobilenet-v1", ((20, 1, 1), (40, 2, 2), (80, 2, 2), (144, 2, 2)), FINE)


def tiny_mobilenet_v2() -> ConvNet:
    """MobileNetV2's blocks at 3M MACs, to be scaled in fine steps: at 3.9 times the cost each dimension alone, and the
    paper's law, have a network within 2 %."""
    # expansion, channels, repeats, stride
    table = ((1, 8, 1, 1), (4, 16, 2, 2), (4, 24, 2, 2), (4, 48, 2, 2))
    return ConvNet(
        "tiny-mobilenet-v2",
        resolution=32,
        stem=Stem(8, stride=1, activation="relu6"),
        stages=_mbconv_stages(table, MBConv(3, 1, activation="relu6")),
        head=ConvPool(192, activation="relu6"),
        num_classes=10,
        padding="symmetric",
        rules=FINE,
    )


def tiny_resnet() -> ConvNet:
    """ResNet's basic blocks at 2.5M MACs, to be scaled in fine steps: at 3.9 times the cost each dimension alone, and
    the paper's law, have a network within 2 %."""
    table = ((6, 1, 1), (12, 1, 2), (24, 2, 2))  # channels, repeats, stride
    return ConvNet(
        "tiny-resnet",
        resolution=32,
        stem=Stem(6, stride=1, activation="relu"),
        stages=tuple(Stage(channels, stride, (Row(Basic(), repeats),)) for channels, repeats, stride in table),
        head=Pool(),
        num_classes=10,
        padding="symmetric",
        norm_eps=1e-5,
        rules=FINE,
    )


def _mbconv_stages(table: Sequence[tuple[float, int, int, int]], block: MBConv) -> tuple[Stage, ...]:
    """table: (expansion, channels, repeats, stride) of each stage."""
    return tuple(
        Stage(channels, stride, (Row(replace(block, expansion=expansion), repeats),))
        for expansion, channels, repeats, stride in table
    )


def _mobilenet_v1(name: str, table: Sequence[tuple[int, int, int]], rules: ScalingRules) -> ConvNet:
    """table: (channels, repeats, stride) of each stage."""
    return ConvNet(
        name,
        resolution=32,
        stem=Stem(16, stride=1, activation="relu6"),
        stages=tuple(
            Stage(channels, stride, (Row(Separable(3, activation="relu6"), repeats),))
            for channels, repeats, stride in table
        ),
        head=Pool(),
        num_classes=10,
        padding="symmetric",
        rules=rules,
    )
