"""Networks as PyTorch modules, built from the layer graph, and their weights."""

from convscale.nn.allocator import keep_memory, release_memory
from convscale.nn.bf16_speed import Speedups, bf16_speedups
from convscale.nn.device import (
    Precision,
    UsedPrecision,
    autocast,
    computes_in_bf16,
    device_name,
    pick_device,
    to_default_device,
    to_device,
    used_precision,
)
from convscale.nn.folding import folded
from convscale.nn.lowering import Lowered, StepTime, lower
from convscale.nn.model import NORM_MOMENTUM, Model, build
from convscale.nn.sync_norm import SyncBatchNorm, synchronise_norms
from convscale.nn.weights import load, load_weights, save_weights

__all__ = [
    "NORM_MOMENTUM",
    "Lowered",
    "Model",
    "Precision",
    "Speedups",
    "StepTime",
    "SyncBatchNorm",
    "UsedPrecision",
    "autocast",
    "bf16_speedups",
    "build",
    "computes_in_bf16",
    "device_name",
    "folded",
    "keep_memory",
    "load",
    "load_weights",
    "lower",
    "pick_device",
    "release_memory",
    "save_weights",
    "synchronise_norms",
    "to_default_device",
    "to_device",
    "used_precision",
]
