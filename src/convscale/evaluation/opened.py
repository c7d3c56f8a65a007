"""What is evaluated: a model in PyTorch, or an exported file in its own runtime; both turn pixels into logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from convscale.data.loader import Normalise
from convscale.exported import is_exported
from convscale.exported.network import ExportedNetwork, open_exported
from convscale.headers import WeightsHeader
from convscale.nn import Model, load_weights, lower, to_default_device
from convscale.preprocessing import Preprocessing
from convscale.runs import weights_file

Network = Model | ExportedNetwork
Logits = Callable[[Tensor], Tensor]  # (n, c, h, w) uint8 -> (n, classes) float32, on the network's device


def open_network(run_or_file: Path) -> tuple[Network, WeightsHeader]:
    """The network of a run, a weights file or an exported file, and its header. Raises as `load_weights` and
    `open_exported` do."""
    file = weights_file(run_or_file)
    if is_exported(file):
        opened = open_exported(file)
        return opened, opened.header
    model, header = load_weights(file)
    return to_default_device(model), header


def device_of(network: Network) -> torch.device:
    """Where it computes."""
    return torch.device("cpu") if isinstance(network, ExportedNetwork) else next(network.parameters()).device


def logits_of(
    network: Network, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32, *, fused: bool = True
) -> Logits:
    """What turns pixels into logits: the lowered model, in `dtype`; or the file. Not `fused`, the model itself: each
    image has the same bits in a batch of any size."""
    if isinstance(network, ExportedNetwork):
        return network.logits
    normalise = Normalise(preprocessing, device_of(network))
    ready = lower(network, dtype) if fused else network

    def logits(pixels: Tensor) -> Tensor:
        computed: Tensor = ready(normalise(pixels))
        return computed

    return logits
