"""Pixels that were taken away, filled in from those that are left: noisy linear imputation (Rong et al. 2022, ROAD).

A pixel that is missing is the weighted mean of its eight neighbours, missing or not: a linear system, solved here from
coarse to fine. What is filled in then tells the network little of the shape that was taken away, unlike a grey patch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SWEEPS = 10  # over the pixels, at each scale
NOISE = 0.05  # standard deviations of the image's own values
_SMALLEST = 4  # pixels a side
_WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))


def impute(images: Tensor, kept: Tensor, generator: torch.Generator) -> Tensor:
    """Images (n, c, h, w) whose pixels outside of `kept`, (n, 1, h, w) bool, are filled in, with a little noise."""
    filled = _filled(images, kept)
    scale = images.flatten(1).std(1).view(-1, 1, 1, 1)
    noise = torch.randn(images.shape, generator=generator).to(images.device) * scale * NOISE
    return torch.where(kept, images, filled + noise)


def _filled(images: Tensor, kept: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    share = kept.to(images.dtype)
    if min(height, width) > _SMALLEST:
        less, part = (F.avg_pool2d(one, 2, ceil_mode=True) for one in (images * share, share))
        coarse = _filled(less / part.clamp(min=1e-6), part > 0)
        guess = F.interpolate(coarse, (height, width), mode="bilinear")
    else:
        count = share.sum((2, 3), keepdim=True).clamp(min=1)
        guess = ((images * share).sum((2, 3), keepdim=True) / count).expand_as(images)
    channels = images.shape[1]
    kernel = images.new_tensor(_WEIGHTS).expand(channels, 1, 3, 3)
    inside = F.conv2d(torch.ones_like(images[:1]), kernel, padding=1, groups=channels)
    filled = torch.where(kept, images, guess)
    for _ in range(SWEEPS):
        filled = torch.where(kept, images, F.conv2d(filled, kernel, padding=1, groups=channels) / inside)
    return filled
