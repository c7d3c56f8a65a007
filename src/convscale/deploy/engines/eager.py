"""Engine `eager`: the plain PyTorch module, layer by layer, as training and everything else run it."""

from __future__ import annotations

import copy

import numpy as np
import torch

from convscale.deploy.engines.protocol import Dtype, Floats
from convscale.deploy.engines.torch_threads import torch_threads
from convscale.nn import Model

TORCH_DTYPES: dict[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class EagerEngine:
    """A copy of a model in eval mode on the CPU, channels last in memory; in bfloat16 all of its weights are."""

    name = "eager"

    def __init__(self, model: Model, threads: int, dtype: Dtype) -> None:
        self.dtype, self.threads = dtype, threads
        copied = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        self.network = copied.to(TORCH_DTYPES[dtype], memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        x = as_input(images).to(TORCH_DTYPES[self.dtype])
        with torch_threads(self.threads):
            return as_logits(self.network(x))


def image_side(model: Model) -> int:
    """Pixels per side of the images that a model gets: its preprocessing's, else its network's resolution."""
    return model.network.resolution if model.preprocessing is None else model.preprocessing.size


def as_input(images: Floats) -> torch.Tensor:
    """The images as a tensor, channels last in memory."""
    given = torch.from_numpy(np.require(images, np.float32, ["C", "W"]))
    return given.contiguous(memory_format=torch.channels_last)


def as_logits(logits: torch.Tensor) -> Floats:
    """The logits as an array of its own."""
    return np.array(logits.float().cpu().numpy(), copy=True)
