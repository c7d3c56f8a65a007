"""Engine `cuda`: the folded module on a GPU, under torch.compile, which replays it as a CUDA graph."""

from __future__ import annotations

from typing import Any

import torch

from convscale.deploy.engines.eager import TORCH_DTYPES, as_input, as_logits
from convscale.deploy.engines.protocol import Dtype, Floats
from convscale.nn import Model, folded, pick_device

# Inductor's mode that records a CUDA graph for each size of batch: no launches of kernels one by one.
OPTIONS: dict[str, Any] = {"dynamic": False, "mode": "reduce-overhead"}


class CudaEngine:
    """A folded copy of a model on the GPU, channels last, compiled at the first batch of each size.

    Images and logits travel from and to the CPU in every call. In bfloat16 all weights are; float32 is that, not the
    TensorFloat-32 that cuDNN would take.
    """

    name = "cuda"

    def __init__(self, model: Model, threads: int, dtype: Dtype) -> None:
        self.dtype, self.threads, self._device = dtype, threads, pick_device()
        plain = folded(model).to(self._device, TORCH_DTYPES[dtype], memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = torch.compile(plain, **OPTIONS)

    @torch.no_grad()
    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        x = as_input(images).to(self._device, TORCH_DTYPES[self.dtype], non_blocking=True)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return as_logits(self._network(x))  # type: ignore[no-untyped-call]
