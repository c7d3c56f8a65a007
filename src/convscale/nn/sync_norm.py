"""Batch norm over the batches of all processes, on any device: PyTorch's own does it on GPUs only."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

OVER = (0, 2, 3)  # all axes but the channels'


class _Normalise(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias, where mean and deviation are those of all processes' x, `total` values
    a channel. The gradient is batch norm's (Ioffe & Szegedy 2015, section 3), its two means over all processes too."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, inverse: Tensor, total: float
    ) -> Tensor:
        normal = (x.to(weight.dtype) - _by_channel(mean)) * _by_channel(inverse)
        ctx.save_for_backward(normal, weight, inverse)
        ctx.total = total
        return torch.addcmul(_by_channel(bias), normal, _by_channel(weight)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normal, weight, inverse = ctx.saved_tensors
        gradient = gradients[0].to(normal.dtype)
        of_bias, of_weight = gradient.sum(OVER), (gradient * normal).sum(OVER)
        sums = torch.stack([of_bias, of_weight]).to(torch.float64)
        dist.all_reduce(sums)
        first, second = (sums / ctx.total).to(normal.dtype)
        centred = torch.addcmul(gradient - _by_channel(first), normal, _by_channel(second), value=-1)
        return (centred * _by_channel(weight * inverse)).to(gradients[0].dtype), of_weight, of_bias, None, None, None


class SyncBatchNorm(nn.BatchNorm2d):
    """Means and variances of the processes are put together in double precision."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same; n may differ between processes."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        with torch.no_grad():
            mean, variance, total = _statistics(x.to(self.weight.dtype))
            self._follow(mean, variance, total)
            mean, inverse = mean.to(self.weight.dtype), torch.rsqrt(variance + self.eps).to(self.weight.dtype)
        normalised: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, mean, inverse, total
        )
        return normalised

    def _follow(self, mean: Tensor, variance: Tensor, total: float) -> None:
        """Move the running statistics; PyTorch's running variance is that of a sample."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        sample = variance * (total / max(total - 1, 1))
        self.running_var.lerp_(sample.to(self.running_var.dtype), self.momentum)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean (c,) and variance (c,) of x (n, c, h, w) over all processes, in double, and how many values they are of."""
    mean = x.mean(OVER)
    variance = (x - _by_channel(mean)).square_().mean(OVER).to(torch.float64)
    count, mean = x.numel() // x.shape[1], mean.to(torch.float64)
    sums = torch.cat([mean, variance + mean.square(), mean.new_ones(1)]) * count
    dist.all_reduce(sums)
    total = float(sums[-1])
    mean, square = (sums[:-1] / total).view(2, -1)
    return mean, (square - mean.square()).clamp_min_(0), total


def _by_channel(values: Tensor) -> Tensor:
    """(c,) -> (c, 1, 1)."""
    return values[:, None, None]


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
