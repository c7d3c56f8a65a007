"""ResNet (He et al. 2016) and its kin: ResNeXt, Wide ResNet, RegNetY."""

from __future__ import annotations

from convscale.networks import (
    Basic,
    Block,
    Bottleneck,
    ConvNet,
    Count,
    Pool,
    Row,
    ScalingRules,
    Squeeze,
    Stage,
    Stem,
    Width,
)


def _resnet(name: str, block: Block, channels: tuple[int, ...], repeats: tuple[int, ...]) -> ConvNet:
    return ConvNet(
        name,
        resolution=224,
        stem=Stem(64, kernel=7, activation="relu", pool=True),
        stages=tuple(
            Stage(width, 1 if index == 0 else 2, (Row(block, count),))
            for index, (width, count) in enumerate(zip(channels, repeats, strict=True))
        ),
        head=Pool(),
        padding="symmetric",
        norm_eps=1e-5,
    )


_NARROW = (64, 128, 256, 512)
_WIDE = (256, 512, 1024, 2048)


def resnet_18() -> ConvNet:
    """ResNet-18: table 1 of He et al. 2016."""
    return _resnet("resnet-18", Basic(), _NARROW, (2, 2, 2, 2))


def resnet_34() -> ConvNet:
    """ResNet-34: table 1 of He et al. 2016."""
    return _resnet("resnet-34", Basic(), _NARROW, (3, 4, 6, 3))


def resnet_50() -> ConvNet:
    """ResNet-50: table 1 of He et al. 2016, stride in the 3x3 layer ("v1.5")."""
    return _resnet("resnet-50", Bottleneck(), _WIDE, (3, 4, 6, 3))


def resnet_101() -> ConvNet:
    """ResNet-101: table 1 of He et al. 2016, stride in the 3x3 layer."""
    return _resnet("resnet-101", Bottleneck(), _WIDE, (3, 4, 23, 3))


def resnet_152() -> ConvNet:
    """ResNet-152: table 1 of He et al. 2016, stride in the 3x3 layer."""
    return _resnet("resnet-152", Bottleneck(), _WIDE, (3, 8, 36, 3))


def resnext_50_32x4d() -> ConvNet:
    """ResNeXt-50 (32x4d): table 1 of Xie et al. 2017."""
    return _resnet("resnext-50-32x4d", Bottleneck(ratio=0.5, groups=Count(32)), _WIDE, (3, 4, 6, 3))


def wide_resnet_50_2() -> ConvNet:
    """Wide ResNet-50-2: Zagoruyko & Komodakis 2016, table 8; the inner width of ResNet-50 doubled."""
    return _resnet("wide-resnet-50-2", Bottleneck(ratio=0.5), _WIDE, (3, 4, 6, 3))


def _regnety(name: str, widths: tuple[int, ...], repeats: tuple[int, ...], group_width: int) -> ConvNet:
    block = Bottleneck(ratio=1.0, groups=Width(group_width), squeeze=Squeeze(0.25, activation="relu"))
    return ConvNet(
        name,
        resolution=224,
        stem=Stem(32, activation="relu"),
        stages=tuple(Stage(width, 2, (Row(block, count),)) for width, count in zip(widths, repeats, strict=True)),
        head=Pool(),
        padding="symmetric",
        norm_eps=1e-5,
        rules=ScalingRules(repeats="nearest", resolution_step=4),
    )


def regnety_400mf() -> ConvNet:
    """RegNetY-400MF: table 5 of Radosavovic et al. 2020."""
    return _regnety("regnety-400mf", (48, 104, 208, 440), (1, 3, 6, 6), group_width=8)


def regnety_4gf() -> ConvNet:
    """RegNetY-4.0GF: table 5 of Radosavovic et al. 2020."""
    return _regnety("regnety-4gf", (128, 192, 512, 1088), (2, 6, 12, 2), group_width=64)
