"""Batch norms folded into the convolutions before them: the same function of fewer layers, for inference and export."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from convscale.nn.layers import ConvNormAct
from convscale.nn.model import Model

_BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)  # ours over processes is one of the first kind


def folded(model: Model, dtype: torch.dtype = torch.float32) -> Model:
    """A copy of `model` in eval mode whose convolutions scale and shift as the batch norms behind them did: ordinary
    modules of PyTorch's, which every exporter knows. `lower` makes the fast form of it.

    Its outputs differ by rounding alone, about 1e-6 of their size; it cannot be trained or stored. Other norms, batch
    norms without statistics, and layers that anybody has a hook on stay as they are. With `dtype` bfloat16 all weights
    are rounded to that once they are folded; inputs have to be of it, and outputs are.
    """
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, ConvNormAct) and type(module.conv) is nn.Conv2d and not module.is_seen():
            _fold(module)
    return copied if dtype == torch.float32 else copied.to(dtype)


def _fold(module: ConvNormAct) -> None:
    if isinstance(module.norm, _BATCH_NORMS) and module.norm.running_mean is not None:
        module.conv = fuse_conv_bn_eval(module.conv, module.norm)
        module.norm = None
