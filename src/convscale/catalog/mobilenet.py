"""MobileNetV1, V2 and V3, and MnasNet: the mobile baselines."""

from __future__ import annotations

from itertools import groupby

from convscale.networks import (
    Activation,
    ConvNet,
    ConvPool,
    ConvPoolHidden,
    MBConv,
    Pool,
    Row,
    Separable,
    Squeeze,
    Stage,
    Stem,
)


def mobilenet_v1() -> ConvNet:
    """MobileNetV1: table 1 of Howard et al. 2017, ReLU6 as in the released code."""
    # channels, repeats, stride
    table = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
    return ConvNet(
        "mobilenet-v1",
        resolution=224,
        stem=Stem(32, activation="relu6"),
        stages=tuple(
            Stage(channels, stride, (Row(Separable(3, activation="relu6"), repeats),))
            for channels, repeats, stride in table
        ),
        head=Pool(),
    )


def mobilenet_v2() -> ConvNet:
    """MobileNetV2: table 2 of Sandler et al. 2018; the head keeps its width in narrower networks, as in the released
    code (mobilenet_v2.py, finegrain_classification_mode)."""
    # expansion, channels, repeats, stride
    table = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    )  # fmt: skip
    return ConvNet(
        "mobilenet-v2",
        resolution=224,
        stem=Stem(32, activation="relu6"),
        stages=tuple(
            Stage(channels, stride, (Row(MBConv(3, expansion, activation="relu6"), repeats),))
            for expansion, channels, repeats, stride in table
        ),
        head=ConvPool(1280, activation="relu6", shrinks=False),
    )


def _mnasnet(name: str, table: tuple[tuple[int, int, float, int, int, int], ...]) -> ConvNet:
    def stage(kernel: int, expansion: int, ratio: float, channels: int, repeats: int, stride: int) -> Stage:
        squeeze = Squeeze(ratio, activation="relu") if ratio else None
        return Stage(channels, stride, (Row(MBConv(kernel, expansion, "relu", squeeze), repeats),))

    return ConvNet(
        name,
        resolution=224,
        stem=Stem(32, activation="relu"),
        stages=tuple(stage(*row) for row in table),
        head=ConvPool(1280, activation="relu", fixed_width=True),  # mnasnet_model.py rounds the stem, not the head
    )


def mnasnet_a1() -> ConvNet:
    """MnasNet-A1: figure 7 of Tan et al. 2019."""
    return _mnasnet(
        "mnasnet-a1",
        # kernel, expansion, squeeze ratio, channels, repeats, stride
        (
            (3, 1, 0, 16, 1, 1), (3, 6, 0, 24, 2, 2), (5, 3, 0.25, 40, 3, 2), (3, 6, 0, 80, 4, 2),
            (3, 6, 0.25, 112, 2, 1), (5, 6, 0.25, 160, 3, 2), (3, 6, 0, 320, 1, 1),
        ),
    )  # fmt: skip


def mnasnet_b1() -> ConvNet:
    """MnasNet-B1, without squeeze: the reference code of Tan et al. 2019 (mnasnet_models.py)."""
    return _mnasnet(
        "mnasnet-b1",
        (
            (3, 1, 0, 16, 1, 1), (3, 3, 0, 24, 3, 2), (5, 3, 0, 40, 3, 2), (5, 6, 0, 80, 3, 2),
            (3, 6, 0, 96, 2, 1), (5, 6, 0, 192, 4, 2), (3, 6, 0, 320, 1, 1),
        ),
    )  # fmt: skip


def _v3(kernel: int, expanded: int, se: bool, activation: Activation, into: int) -> MBConv:
    """A row of MobileNetV3's table, which gives the expanded width; `into` is the block's input width."""
    squeeze = Squeeze(0.25, of="expanded", activation="relu", gate="hard_sigmoid", round_to=8) if se else None
    return MBConv(kernel, expanded / into, activation, squeeze)


def _v3_net(
    name: str,
    table: tuple[tuple[int, tuple[tuple[int, int, bool, Activation], ...], int], ...],
    hidden: int,
    head: int,
) -> ConvNet:
    stages, into = [], 16
    for channels, rows, stride in table:
        blocks = []
        for kernel, expanded, se, activation in rows:
            blocks.append(_v3(kernel, expanded, se, activation, into))
            into = channels
        merged = tuple(Row(block, len(list(same))) for block, same in groupby(blocks))
        stages.append(Stage(channels, stride, merged))
    return ConvNet(
        name,
        resolution=224,
        stem=Stem(16, activation="hard_swish"),
        stages=tuple(stages),
        # The last layer takes no multiplier (mobilenet_v3.py, finegrain_classification_mode).
        head=ConvPoolHidden(head, hidden, fixed_hidden=True),
    )


def mobilenet_v3_large() -> ConvNet:
    """MobileNetV3-Large: table 1 of Howard et al. 2019."""
    r: Activation = "relu"
    h: Activation = "hard_swish"
    return _v3_net(
        "mobilenet-v3-large",
        # channels, (kernel, expanded width, squeeze, activation) per block, stride
        (
            (16, ((3, 16, False, r),), 1),
            (24, ((3, 64, False, r), (3, 72, False, r)), 2),
            (40, ((5, 72, True, r), (5, 120, True, r), (5, 120, True, r)), 2),
            (80, ((3, 240, False, h), (3, 200, False, h), (3, 184, False, h), (3, 184, False, h)), 2),
            (112, ((3, 480, True, h), (3, 672, True, h)), 1),
            (160, ((5, 672, True, h), (5, 960, True, h), (5, 960, True, h)), 2),
        ),
        hidden=1280,
        head=960,
    )


def mobilenet_v3_small() -> ConvNet:
    """MobileNetV3-Small: table 2 of Howard et al. 2019."""
    r: Activation = "relu"
    h: Activation = "hard_swish"
    return _v3_net(
        "mobilenet-v3-small",
        (
            (16, ((3, 16, True, r),), 2),
            (24, ((3, 72, False, r), (3, 88, False, r)), 2),
            (40, ((5, 96, True, h), (5, 240, True, h), (5, 240, True, h)), 2),
            (48, ((5, 120, True, h), (5, 144, True, h)), 1),
            (96, ((5, 288, True, h), (5, 576, True, h), (5, 576, True, h)), 2),
        ),
        hidden=1024,
        head=576,
    )
