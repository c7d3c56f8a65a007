"""What a weights file may hold: real numbers that a network can have, and no more of them than its size suggests."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from convscale.errors import RunError

MAX_TENSORS = 20_000
MAX_GROWTH = 20  # an archive unpacks to at most this many times its size
_NOT_WEIGHTS = ("num_batches_tracked",)


def checked(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors as float32. Raises RunError for none, too many, and values that cannot be weights."""
    kept = {name: value for name, value in tensors.items() if value.is_floating_point()}
    for name, value in tensors.items():
        if name not in kept:
            _require_no_weight(path, name, value)
    if not kept or len(kept) > MAX_TENSORS:
        raise RunError(f"{path}: {len(kept)} tensors of floating-point numbers", hint="is it a weights file?")
    for name, value in kept.items():
        kept[name] = _as_float32(path, name, value)
    return {name: value for name, value in kept.items() if not name.endswith(_NOT_WEIGHTS)}


def _require_no_weight(path: Path, name: str, value: Tensor) -> None:
    """Raise RunError for weights that are not floating-point numbers; counters and the like are not weights."""
    last = re.split(r"[./]", name)[-1]
    if value.is_quantized or last in _QUANTISED or "_packed_params" in name or (value.ndim and last in _WEIGHTS):
        kind = str(value.dtype).removeprefix("torch.")
        raise RunError(
            f"{path}: {name} holds {kind} values: weights that are quantised or not real numbers cannot be read",
            hint="save the network's floating-point weights, as they were before quantisation",
        )


_QUANTISED = ("zero_point", "zero_points", "qweight", "qzeros")
_WEIGHTS = ("weight", "bias", "running_mean", "running_var", "kernel", "depthwise_kernel", "gamma", "beta",
            "moving_mean", "moving_variance")  # fmt: skip
_VARIANCES = ("running_var", "moving_variance", "normalization/variance")


def _as_float32(path: Path, name: str, value: Tensor) -> Tensor:
    """Raises RunError for a tensor without values, or with values that no network has."""
    if value.is_meta:
        raise RunError(
            f"{path}: {name} has a shape but no values", hint="save the model from a real device, not from meta"
        )
    if value.layout != torch.strided:
        raise RunError(f"{path}: {name} is a sparse tensor", hint="save it dense: tensor.to_dense()")
    if not value.numel():
        raise RunError(f"{path}: {name} is empty: its shape is {tuple(value.shape)}", hint="save it with its values")
    value = value.to(torch.float32)
    if not torch.isfinite(value).all():
        raise RunError(f"{path}: {name} holds NaN or infinite values, as float32")
    if name.endswith(_VARIANCES) and (value < 0).any():
        raise RunError(f"{path}: {name} holds negative values, which no variance has", hint="the file is damaged")
    return value


def require_plain(path: Path, unpacked: int) -> None:
    """Weights hardly shrink: raise RunError for a file that unpacks to many times its size."""
    size = path.stat().st_size
    if unpacked > MAX_GROWTH * size:
        raise RunError(f"{path}: {size:,} bytes that would unpack to {unpacked:,}: refused")


def first_line(error: Exception) -> str:
    """What an error of another library says first."""
    return next(iter(str(error).splitlines()), type(error).__name__)
