"""Engine `compile`: the folded module under torch.compile, its weights frozen into what Inductor makes of it.

Inductor writes C++, so that a compiler is needed, and takes its time: 20 to 40 s for B0 at the first batch of each
size, less where PyTorch's cache knows it.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from convscale.deploy.engines.eager import TORCH_DTYPES, as_input, as_logits
from convscale.deploy.engines.protocol import Dtype, Floats
from convscale.deploy.engines.torch_threads import torch_threads
from convscale.nn import Model, folded

# Compiled in this process: its workers would outlive the engine.
OPTIONS: dict[str, Any] = {"dynamic": False, "options": {"freezing": True, "compile_threads": 1}}


class CompileEngine:
    """A folded copy of a model, compiled at the first batch of each size."""

    name = "compile"

    def __init__(self, model: Model, threads: int, dtype: Dtype) -> None:
        self.dtype, self.threads = dtype, threads
        plain = folded(model, TORCH_DTYPES[dtype]).cpu().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, at the import of its compiler
            self._network = torch.compile(plain, **OPTIONS)

    @torch.no_grad()
    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        x = as_input(images).to(TORCH_DTYPES[self.dtype])
        with torch_threads(self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says about itself while it compiles
            return as_logits(self._network(x))  # type: ignore[no-untyped-call]
