"""The moving average of weights and BN statistics that the reference evaluates, keeps and exports.

tf.train.ExponentialMovingAverage(0.9999, num_updates=global_step) over trainable variables and the moving mean and
variance of batch norm (the reference's utils.get_ema_vars): the decay of update n, from 1, is
min(0.9999, (1 + n) / (10 + n)), so that early weights are forgotten fast.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def ema_decay(update: int, decay: float) -> float:
    """The share of the old average that update number `update`, from 1, keeps."""
    return min(decay, (1 + update) / (10 + update))


class EMA:
    """The average itself is `model`: a copy that runs as the trained one does."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.averages, self.values = _averaged(self.model), _averaged(model)

    @torch.no_grad()
    def update(self, update: int) -> None:
        """Take in the trained model's values after its step number `update`, from 1."""
        torch._foreach_lerp_(self.averages, self.values, 1 - ema_decay(update, self.decay))


def _averaged(model: nn.Module) -> list[Tensor]:
    """Parameters and BN statistics, the tensors themselves."""
    floats = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    return [*(parameter.data for parameter in model.parameters()), *floats]
