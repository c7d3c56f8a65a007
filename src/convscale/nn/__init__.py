"""Networks as PyTorch modules, built from the layer graph, and their weights."""

from convscale.nn.device import autocast, keep_memory, pick_device, place
from convscale.nn.model import NORM_MOMENTUM, Model, build
from convscale.nn.sync_norm import SyncBatchNorm, synchronise_norms
from convscale.nn.weights import load_weights, save_weights

__all__ = ["NORM_MOMENTUM", "Model", "SyncBatchNorm", "autocast", "build", "keep_memory", "load_weights", "pick_device", "place", "save_weights", "synchronise_norms"]
