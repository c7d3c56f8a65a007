"""Networks whose evidence is known, because their weights are put there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import convscale as cs
from convscale.networks import Basic, Block, Bottleneck, ConvNet, FusedMBConv, MBConv, Padding, Pool, Row, Stage, Stem
from convscale.nn import Model

BLOCKS: dict[str, Block] = {
    "mbconv": MBConv(3, 2, activation="relu"),
    "mbconv5": MBConv(5, 2, activation="relu"),
    "fused": FusedMBConv(3, 2, activation="relu"),
    "basic": Basic(),
    "bottleneck": Bottleneck(ratio=0.5),
}


def network(
    block: Block, padding: Padding, strides: tuple[int, ...], *, stem: int = 3, repeats: int = 1, pool: bool = False
) -> ConvNet:
    """A stage of 4 channels per stride, behind a stem without one."""
    return ConvNet(
        "planted",
        resolution=96,
        stem=Stem(4, kernel=stem, stride=1, activation="relu", pool=pool),
        stages=tuple(Stage(4, stride, (Row(block, repeats),)) for stride in strides),
        head=Pool(),
        num_classes=2,
        padding=padding,
    )


def brightness(network: ConvNet) -> Model:
    """Every weight of a layer is the same and positive: each cell says how bright what it sees is, nothing else."""
    model = cs.build(network, seed=0).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1.0)  # of norms
            else:
                parameter.fill_(1 / parameter[0].numel())
    return model


def named(model: Model, size: int, classes: tuple[str, ...] = (), crop: float = 1.0) -> Model:
    """The model with preprocessing and class names, as a file would have it."""
    channels = model.network.input_channels
    model.preprocessing = cs.Preprocessing(size, mean=(0.0,) * channels, std=(1.0,) * channels, crop=crop)
    model.classes = classes or tuple(f"class {index}" for index in range(model.network.num_classes))
    return model


def small(name: str, size: int, seed: int = 0) -> Model:
    """A network of the catalog with weights that were drawn, its norms' statistics too, and three classes."""
    model = cs.build(replace(cs.network(name), num_classes=3).at_resolution(size), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
        last = model.head.get_submodule("classifier.linear")
        last.weight.copy_(torch.randn(last.weight.shape, generator=generator))  # type: ignore[operator,union-attr]
        last.bias.copy_(torch.randn(3, generator=generator))  # type: ignore[operator]
    return named(model, size, ("cat", "dog", "a long name"))


def patch(height: int, width: int, top: float, left: float, side: int) -> Tensor:
    """A bright square on black, (1, 3, height, width)."""
    image = torch.zeros(1, 3, height, width)
    image[:, :, int(top) : int(top) + side, int(left) : int(left) + side] = 1.0
    return image
