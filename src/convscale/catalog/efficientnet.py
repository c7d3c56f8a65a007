"""EfficientNet (Tan & Le 2019), EfficientNet-Lite (2020) and EfficientNetV2 (Tan & Le 2021)."""

from __future__ import annotations

from convscale.networks import (
    ConvNet,
    ConvPool,
    FusedMBConv,
    MBConv,
    Row,
    ScalingRules,
    Squeeze,
    Stage,
    Stem,
)
from convscale.scaling import published, scale


def _mbconv(
    kernel: int, expansion: int, channels: int, repeats: int, stride: int, *, lite: bool = False,
    fixed_depth: bool = False,
) -> Stage:  # fmt: skip
    block = MBConv(
        kernel,
        expansion,
        activation="relu6" if lite else "silu",
        squeeze=None if lite else Squeeze(0.25),
    )
    return Stage(channels, stride, (Row(block, repeats),), fixed_depth=fixed_depth)


def efficientnet_b0() -> ConvNet:
    """EfficientNet-B0: table 1 of Tan & Le 2019."""
    return ConvNet(
        "efficientnet-b0",
        resolution=224,
        stem=Stem(32),
        stages=(
            # kernel, expansion, channels, repeats, stride
            _mbconv(3, 1, 16, 1, 1),
            _mbconv(3, 6, 24, 2, 2),
            _mbconv(5, 6, 40, 2, 2),
            _mbconv(3, 6, 80, 3, 2),
            _mbconv(5, 6, 112, 3, 1),
            _mbconv(5, 6, 192, 4, 2),
            _mbconv(3, 6, 320, 1, 1),
        ),
        head=ConvPool(1280),
    )


def efficientnet_lite0() -> ConvNet:
    """EfficientNet-Lite0: B0 without squeeze, with ReLU6; stem, head, first and last stage keep their size
    when scaled, but for the widths of those stages (efficientnet_lite_builder.py, fix_head_stem)."""
    return ConvNet(
        "efficientnet-lite0",
        resolution=224,
        stem=Stem(32, activation="relu6", fixed_width=True),
        stages=(
            _mbconv(3, 1, 16, 1, 1, lite=True, fixed_depth=True),
            _mbconv(3, 6, 24, 2, 2, lite=True),
            _mbconv(5, 6, 40, 2, 2, lite=True),
            _mbconv(3, 6, 80, 3, 2, lite=True),
            _mbconv(5, 6, 112, 3, 1, lite=True),
            _mbconv(5, 6, 192, 4, 2, lite=True),
            _mbconv(3, 6, 320, 1, 1, lite=True, fixed_depth=True),
        ),
        head=ConvPool(1280, activation="relu6", fixed_width=True),
    )


def released(coefficients: str) -> ConvNet:
    """A released member of the family: its baseline scaled by its published coefficients."""
    baseline = efficientnet_lite0() if coefficients.startswith("lite") else efficientnet_b0()
    return scale(baseline, published(coefficients), name=f"efficientnet-{coefficients}")


def _v2(
    name: str, resolution: int, stem: int, fused: tuple[tuple[int, int, int], ...],
    mbconv: tuple[tuple[int, int, int], ...],
) -> ConvNet:  # fmt: skip
    strides = (1, 2, 2, 2, 1, 2, 1)
    blocks = [(FusedMBConv(3, expansion), channels, repeats) for expansion, channels, repeats in fused] + [
        (MBConv(3, expansion, squeeze=Squeeze(0.25)), channels, repeats) for expansion, channels, repeats in mbconv
    ]
    return ConvNet(
        name,
        resolution=resolution,
        stem=Stem(stem),
        stages=tuple(
            Stage(channels, stride, (Row(block, repeats),))
            for stride, (block, channels, repeats) in zip(strides, blocks, strict=False)
        ),
        head=ConvPool(1280),
        rules=ScalingRules(floor=0.0),
    )


def efficientnetv2_s() -> ConvNet:
    """EfficientNetV2-S: table 4 of Tan & Le 2021, with the released channels (effnetv2_configs.py)."""
    return _v2(
        "efficientnetv2-s", 384, 24,
        # expansion, channels, repeats
        fused=((1, 24, 2), (4, 48, 4), (4, 64, 4)),
        mbconv=((4, 128, 6), (6, 160, 9), (6, 256, 15)),
    )  # fmt: skip


def efficientnetv2_m() -> ConvNet:
    """EfficientNetV2-M (effnetv2_configs.py)."""
    return _v2(
        "efficientnetv2-m", 480, 24,
        fused=((1, 24, 3), (4, 48, 5), (4, 80, 5)),
        mbconv=((4, 160, 7), (6, 176, 14), (6, 304, 18), (6, 512, 5)),
    )  # fmt: skip


def efficientnetv2_l() -> ConvNet:
    """EfficientNetV2-L (effnetv2_configs.py)."""
    return _v2(
        "efficientnetv2-l", 480, 32,
        fused=((1, 32, 4), (4, 64, 7), (4, 96, 7)),
        mbconv=((4, 192, 10), (6, 224, 19), (6, 384, 25), (6, 640, 7)),
    )  # fmt: skip
