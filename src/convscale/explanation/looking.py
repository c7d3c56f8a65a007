"""What a network sees on the way to its logits: the features before its pool, and what their cells add to a logit."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscale.errors import ConfigError
from convscale.layers import resolve
from convscale.layers.receptive import ReceptiveField, receptive_fields
from convscale.networks import ConvNet, ConvPoolHidden, Pool
from convscale.nn import Model

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Seen(NamedTuple):
    """The features before the pool, (n, channels, h, w), and the logits, (n, classes), of a batch; no gradients."""

    features: Tensor
    logits: Tensor


def shell(model: Model) -> Model:
    """A model of the same tensors in eval mode, without hooks. What is captured in it, or switched, neither shows in
    `model` nor is disturbed by whoever else runs that at the same time."""
    copied = _shell(model)
    assert isinstance(copied, Model)
    return copied


def _shell(module: nn.Module) -> nn.Module:
    copied = copy.copy(module)
    for name in _HOOKS:
        copied.__dict__[name] = OrderedDict()
    copied.__dict__.pop("_compiled_call_impl", None)
    copied._parameters, copied._buffers = dict(module._parameters), dict(module._buffers)
    copied._modules = {name: child and _shell(child) for name, child in module._modules.items()}
    copied.training = False
    return copied


def features_name(network: ConvNet) -> str:
    """The layer before the pool: what a class activation map is made of."""
    return f"stages.{len(network.stages) - 1}" if isinstance(network.head, Pool) else "head.conv"


def is_linear(network: ConvNet) -> bool:
    """Whether the logits are a pool and a linear layer of the features, so that cells have exact parts in them."""
    return not isinstance(network.head, ConvPoolHidden)


def require_linear(network: ConvNet) -> None:
    """Raise ConfigError unless the head is a pool and a linear layer."""
    if not is_linear(network):
        raise ConfigError(
            f"method cam needs a head of a pool and a linear layer: {network.name} has a hidden layer between them",
            hint="--method gradcam (method='gradcam')",
        )


@torch.no_grad()
def look(model: Model, images: Tensor) -> Seen:
    """One pass of images (n, channels, height, width), normalised."""
    name = features_name(model.network)
    found = model.captured(images, [name, "head"])
    return Seen(found[name].detach(), found["head"].detach())


def classify(model: Model, features: Tensor) -> Tensor:
    """Features -> logits: what of the head follows them."""
    for name, layer in model.head.named_children():
        if name != "conv":
            features = layer(features)
    return features


def classifier(model: Model) -> nn.Linear:
    """The last layer."""
    layer = model.head.get_submodule("classifier.linear")
    assert isinstance(layer, nn.Linear)
    return layer


def field_of(network: ConvNet, side: int) -> ReceptiveField:
    """What the cells of the features see along a side of that many pixels."""
    graph = resolve(network.at_resolution(max(side, network.total_stride)))
    return receptive_fields(graph)[features_name(network)]
