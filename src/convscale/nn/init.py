"""The reference initialisers (efficientnet_model.py:80-103)."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Convolutions: normal, std sqrt(2 / fan_out), where a depthwise filter's fan_out is its kernel's area;
    classifier: uniform within 1 / sqrt(outputs); biases 0; norms 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            module.weight.normal_(0, math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            module.weight.uniform_(-bound, bound)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.zero_()
