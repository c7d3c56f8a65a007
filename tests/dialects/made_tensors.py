"""Tensors as another library names them, made without it."""

from __future__ import annotations

import torch
from torch import Tensor

import convscale as cs
from convscale.dialects.layout import dialect


def tensors_of(network: str, library: str = "timm", classes: int = 3, value: float = 0.0) -> dict[str, Tensor]:
    """Of a network of the catalog: norms that change nothing, kernels of one value."""
    entries = dialect(library).entries(cs.resolve(cs.network(network).with_classes(classes)))
    ones = ("running_var", "bn1.weight", "bn2.weight")
    values = {entry.theirs: 1.0 if entry.theirs.endswith(ones) else float(value) for entry in entries}
    return {entry.theirs: torch.full(entry.peer_shape, values[entry.theirs]) for entry in entries}
