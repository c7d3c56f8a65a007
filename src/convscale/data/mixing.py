"""Mixup and cutmix: pairs of images of one batch mixed, and their labels with them. With PyTorch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def mix(
    pixels: Tensor, labels: Tensor, num_classes: int, mixup: float, cutmix: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mixed pixels and soft targets (n, num_classes) float32, from float pixels (n, c, h, w) and int64 labels (n,).

    mixup, cutmix: alpha of Beta(alpha, alpha), from which one weight per batch is drawn; 0 for none, and with
    both above 0 the batch uses either with equal probability. Image i is mixed with image partner[i] of a permutation.
    Mixup adds weight * own + (1 - weight) * partner (Zhang et al. 2017, arXiv:1710.09412); cutmix fills a box of
    1 - weight of the area about a point drawn uniformly from the partner, and weights the labels by the box as it is
    after rounding and the image's edges (Yun et al. 2019, arXiv:1905.04899, algorithm A1). Targets are not smoothed.
    The inputs are not changed; the memory format, dtype and device of the pixels are kept.
    """
    targets = torch.zeros(len(labels), num_classes, device=labels.device).scatter_(1, labels[:, None], 1.0)
    if not mixup and not cutmix:
        return pixels, targets
    cuts = generator.random() < 0.5 if mixup and cutmix else cutmix > 0
    alpha = cutmix if cuts else mixup
    weight = float(generator.beta(alpha, alpha))
    partner = torch.from_numpy(generator.permutation(len(labels)))
    theirs = partner.to(pixels.device)
    if cuts:
        height, width = pixels.shape[2:]
        top, bottom, left, right = _box(height, width, 1 - weight, generator)
        mixed = pixels.clone()
        mixed[:, :, top:bottom, left:right] = pixels[theirs, :, top:bottom, left:right]
        weight = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        mixed = (pixels * weight).add_(pixels[theirs], alpha=1 - weight)
    return mixed, targets * weight + targets[partner.to(labels.device)] * (1 - weight)


def _box(height: int, width: int, share: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a box of `share` of the area in the image's shape about a pixel drawn evenly,
    cut at the edges."""
    side = math.sqrt(share)
    ends: list[int] = []
    for whole in (height, width):
        length, centre = int(whole * side), int(generator.integers(whole))
        start = centre - length // 2
        ends += [max(0, start), min(whole, start + length)]
    return ends[0], ends[1], ends[2], ends[3]
