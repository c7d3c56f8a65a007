"""Where a model computes, how its tensors lie in memory there, and in which numbers it computes."""

from __future__ import annotations

import os
from typing import Literal, get_args

import torch

from convscale import machine
from convscale.errors import ConfigError
from convscale.nn.model import Model

Precision = Literal["auto", "fp32", "bf16"]
UsedPrecision = Literal["fp32", "bf16"]


def pick_device() -> torch.device:
    """The GPU where there is one (under torchrun the one of this process's LOCAL_RANK), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = os.environ.get("LOCAL_RANK")
    return torch.device("cuda") if rank is None else torch.device("cuda", int(rank) % torch.cuda.device_count())


def device_facts() -> dict[str, str]:
    """What a run records about where it computes: `device`, such as "cuda:0", and `gpu`, its name, or "" on a CPU."""
    device = pick_device()
    return {"device": str(device), "gpu": device_name(device) if device.type == "cuda" else ""}


def to_default_device(model: Model) -> Model:
    """The model on the device that computes, channels last in memory: the faster layout for convolutions."""
    return to_device(model, pick_device())


def to_device(model: Model, device: torch.device, compile_model: bool = False) -> Model:
    """The model on `device`, channels last in memory; where `compile_model`, its calls are compiled at the first.

    The model stays the same object with the same parameter names. On GPUs float32 products use TF32, for the
    whole process.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    placed: Model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile_model:
        placed.compile()
    return placed


def autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """The context of a forward pass and its loss: bfloat16 products where `precision` is "bf16", or "auto" on a GPU
    whose hardware has them. Parameters, gradients and optimizer stay float32, and no loss scaling is needed.

    On CPUs "auto" is float32: which of the two is faster there depends on the network, and is measured before
    training begins (`bf16_speedups`). Raises ConfigError for another precision.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=used_precision(device, precision) == "bf16")


def used_precision(device: torch.device, precision: Precision) -> UsedPrecision:
    """The precision that `precision` selects on `device`. Raises ConfigError for an unknown one."""
    if precision not in get_args(Precision):
        raise ConfigError(f"precision {precision!r} is not known", hint=f"one of {', '.join(get_args(Precision))}")
    if precision == "auto":
        return "bf16" if device.type == "cuda" and computes_in_bf16(device) else "fp32"
    return precision


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the hardware has products in bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return machine.has_fast_bf16()


def device_name(device: torch.device) -> str:
    """The name of the GPU, or "cpu" for the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
