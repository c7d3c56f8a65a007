"""Engine `packed`: the lowered network, fused steps with weights that lie as oneDNN wants them."""

from __future__ import annotations

import copy

import torch

from convscale.deploy.engines.eager import TORCH_DTYPES, as_input, as_logits
from convscale.deploy.engines.protocol import Dtype, Floats
from convscale.deploy.engines.torch_threads import torch_threads
from convscale.nn import Model, lower


class PackedEngine:
    """The steps of a model on the CPU (`convscale.nn.lower`), with a copy of its weights."""

    name = "packed"

    def __init__(self, model: Model, threads: int, dtype: Dtype) -> None:
        self.dtype, self.threads = dtype, threads
        if next(model.parameters()).device.type != "cpu":
            model = copy.deepcopy(model).cpu()
        self.lowered = lower(model, TORCH_DTYPES[dtype])

    @torch.inference_mode()
    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        with torch_threads(self.threads):
            return as_logits(self.lowered(as_input(images)))
