"""Weights as their libraries save them, and how far logits lie apart."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

import convscale as cs
from convscale.headers import WeightsHeader
from convscale.preprocessing import default_preprocessing
from tests import peers

CLOSE = 1e-4


@torch.inference_mode()
def difference(theirs: nn.Module, ours: nn.Module, size: int) -> float:
    """Of logits, over the largest, on random pixels."""
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(size))
    expected = theirs(images)
    expected = getattr(expected, "logits", expected)
    return float((expected - ours(images)).abs().max() / expected.abs().max())


def saved(model: nn.Module, path: Path) -> Path:
    """The peer's state as it saves it, its norms random."""
    peers.randomise_norms(model)
    model.eval()
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    else:
        torch.save(model.state_dict(), path)
    return path


def write(network: cs.ConvNet, file: Path) -> Path:
    """A Convscale file of random weights."""
    header = WeightsHeader(
        network, default_preprocessing(network.resolution, 3), tuple(map(str, range(network.num_classes)))
    )
    cs.save_weights(file, cs.build(network, seed=0), header)
    return file
