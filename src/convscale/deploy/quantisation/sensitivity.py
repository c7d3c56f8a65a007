"""Which layers suffer most from eight bits: each is rounded alone, and the logits are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from convscale.nn import Model, folded

LEVELS = 255


def by_damage(model: Model, images: Tensor) -> list[str]:
    """The convolutions and linear layers of `model` by how much the logits of `images` (n, c, h, w), normalised, change
    where that layer alone computes in int8, most first."""
    network = folded(model)
    layers = {name: part for name, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    with torch.inference_mode():
        right = network(images)
        damage = {}
        for name, layer in layers.items():
            with _rounded(layer):
                damage[name] = float((network(images) - right).square().mean())
    return sorted(damage, key=lambda name: -damage[name])


@contextmanager
def _rounded(layer: nn.Conv2d | nn.Linear) -> Iterator[None]:
    """The layer's inputs are rounded by their range, its weights by that of each output."""

    def round_input(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_steps(given[0], given[0].min(), given[0].max()), *given[1:])

    weight = layer.weight.data
    largest = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.dim() - 1))
    handle = layer.register_forward_pre_hook(round_input)
    layer.weight.data = _steps(weight, -largest, largest)
    try:
        yield
    finally:
        layer.weight.data = weight
        handle.remove()


def _steps(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values rounded to 256 steps from low to high."""
    step = ((high - low) / LEVELS).clamp(min=1e-12)
    return ((values - low) / step).round() * step + low
