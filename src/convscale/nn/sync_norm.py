"""Batch norm over the batches of all processes, on any device: PyTorch's own does it on GPUs only."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is the gradient that comes back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed


class SyncBatchNorm(nn.BatchNorm2d):
    """Sum and sum of squares of each channel are added over all processes, in double precision."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same; n may differ between processes."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        over = (0, 2, 3)
        count = x.new_full((1,), x.numel() // x.shape[1], dtype=torch.float64)
        sums = torch.cat([x.sum(over, dtype=torch.float64), x.square().sum(over, dtype=torch.float64), count])
        summed: Tensor = _SumOverProcesses.apply(sums)  # type: ignore[no-untyped-call]
        mean, square, total = summed.split([x.shape[1], x.shape[1], 1])  # type: ignore[no-untyped-call]
        mean, square = mean / total, square / total
        variance = (square - mean.square()).clamp_min(0)
        self._follow(mean.detach(), variance.detach(), float(total))
        scale = self.weight * torch.rsqrt(variance + self.eps).to(x.dtype)
        shift = self.bias - mean.to(x.dtype) * scale
        normalised: Tensor = x * scale[:, None, None] + shift[:, None, None]
        return normalised

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics; PyTorch's running variance is that of a sample."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        sample = variance * (count / max(count - 1, 1))
        self.running_var.lerp_(sample.to(self.running_var.dtype), self.momentum)


def synchronise_norms(model: nn.Module) -> None:
    """Have every batch norm of `model` take its statistics over all processes, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                kind = nn.SyncBatchNorm if child.weight.is_cuda else SyncBatchNorm
                norm = kind(child.num_features, child.eps, child.momentum or 0.0).to(child.weight)
                norm.load_state_dict(child.state_dict())
                norm.train(child.training)
                setattr(parent, name, norm)
