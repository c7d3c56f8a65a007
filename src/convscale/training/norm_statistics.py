"""Statistics of batch norm, recomputed where few steps have moved them.

A running mean forgets what it began with, and follows the weights, only over some 1 / momentum steps. After fewer it is
of another network than the one that is evaluated (keras#15813).
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import nn

from convscale.data import ImageCollection
from convscale.data.images import Subset
from convscale.data.loader import Normalise, evaluation_batches
from convscale.data.resident import ResidentImages
from convscale.preprocessing import Preprocessing
from convscale.training.optimizer import is_norm

IMAGES = 256  # their statistics vary by a few per cent of a deviation
AT_ONCE = 64


@torch.no_grad()
def renew_statistics(model: nn.Module, images: ImageCollection, preprocessing: Preprocessing) -> None:
    """Set the running statistics of `model`'s batch norms to their mean over batches of up to 256 of `images`, spread
    over all of them and prepared as for evaluation. Weights stay, and the model is left in eval mode. Statistics that
    overflow, as those of weights that diverge, are not taken."""
    norms: list[Any] = [module for module in model.eval().modules() if is_norm(module)]
    batch = min(AT_ONCE, len(images))
    count = min(IMAGES, len(images)) // batch * batch
    spread = np.linspace(0, len(images) - 1, count).round().astype(np.int64)
    normalise = Normalise(preprocessing, next(model.parameters()).device)
    momenta = [module.momentum for module in norms]
    statistics = [buffer for module in norms for buffer in module.buffers() if buffer.is_floating_point()]
    before = [buffer.clone() for buffer in statistics]
    seen = 0
    chosen = images.some(spread) if isinstance(images, ResidentImages) else Subset(images, spread)
    with closing(evaluation_batches(chosen, preprocessing, batch)) as batches:
        for loaded in batches:
            if len(loaded.labels) < 2:  # the others could not be read
                continue
            seen += 1
            for module in norms:
                module.train()
                module.momentum = 1 / seen
            model.forward(normalise(loaded.pixels))  # compiled, it would be recompiled for each momentum
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
        module.eval()
    if not all(bool(buffer.isfinite().all()) for buffer in statistics):
        torch._foreach_copy_(statistics, before)
