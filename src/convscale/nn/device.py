"""Where a model computes, and how its tensors lie in memory there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from convscale.nn.model import Model


def pick_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place(model: Model) -> Model:
    """The model on the device that computes, channels last in memory: the faster layout for convolutions."""
    placed: Model = model.to(pick_device()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def autocast(device: torch.device, precision: Literal["auto", "fp32", "bf16"]) -> AbstractContextManager[None]:
    """Compute in `precision`: "auto" is bf16 on GPUs that have it, else fp32."""
    wanted = precision == "bf16" or (precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def keep_memory() -> bool:
    """Placeholder until the allocator's settings are here."""
    return False
