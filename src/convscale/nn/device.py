"""Where a model computes, and how its tensors lie in memory there."""

from __future__ import annotations

import torch

from convscale.nn.model import Model


def pick_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place(model: Model) -> Model:
    """The model on the device that computes, channels last in memory: the faster layout for convolutions."""
    placed: Model = model.to(pick_device()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
