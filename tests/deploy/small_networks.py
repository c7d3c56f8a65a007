"""A network of few layers that exports in a second, and its weights file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import convscale as cs
from convscale.networks import ConvNet, ConvPool, MBConv, Row, Squeeze, Stage, Stem
from convscale.nn import Model

CLASSES = ("é", "b", "c")
SIDE = 17


NETWORK = ConvNet(
    name="few", resolution=SIDE, stem=Stem(channels=8), head=ConvPool(channels=16), num_classes=3,
    stages=(Stage(channels=8, stride=2, rows=(Row(MBConv(kernel=3, expansion=2, squeeze=Squeeze(ratio=0.5)), 2),)),),
)  # fmt: skip


def trained() -> Model:
    """Layers of every kind, batch norms that are no identity, sides that SAME padding splits unequally."""
    model = cs.build(NETWORK, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        model(torch.randn(16, 3, SIDE, SIDE, generator=generator))
        for norm in model.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.bias.uniform_(-1, 1, generator=generator)
    return model


def weights(path: Path) -> Path:
    """Written to `path`, with class names and where they come from."""
    origin = cs.Provenance("elsewhere", "0" * 64, "timm")
    cs.save_weights(path, trained(), cs.WeightsHeader(NETWORK, cs.Preprocessing(SIDE), CLASSES, origin))
    return path


def photos(folder: Path, each: int = 8) -> Path:
    """Images of noise in three classes, each of a colour of its own."""
    random = np.random.default_rng(0)
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = random.integers(0, 120, (24, 20, 3), dtype=np.uint8)
            pixels[..., place] += 100
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
