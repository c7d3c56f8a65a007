"""timm as an oracle."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from convscale.dialects.peers import library


def timm() -> Any:
    """The timm package, imported so that torchvision's missing operators do no harm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library("timm")


# Catalog name -> timm's name for the same network.
NAMES = {
    **{f"efficientnet-{m}": f"tf_efficientnet_{m}" for m in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8")},
    "efficientnet-l2": "tf_efficientnet_l2",
    **{f"efficientnet-lite{i}": f"tf_efficientnet_lite{i}" for i in range(5)},
    "mobilenet-v1": "mobilenetv1_100",
    "mobilenet-v2": "mobilenetv2_100",
    "mobilenet-v3-small": "tf_mobilenetv3_small_100",
    "mobilenet-v3-large": "tf_mobilenetv3_large_100",
    "mnasnet-a1": "semnasnet_100",
    "mnasnet-b1": "mnasnet_100",
    **{f"resnet-{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    "resnext-50-32x4d": "resnext50_32x4d",
    "wide-resnet-50-2": "wide_resnet50_2",
    "efficientnetv2-s": "tf_efficientnetv2_s",
    "efficientnetv2-m": "tf_efficientnetv2_m",
    "efficientnetv2-l": "tf_efficientnetv2_l",
    "regnety-400mf": "regnety_004",
    "regnety-4gf": "regnety_040",
}


def copy_weights(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Give `target` the weights of `source`, tensor by tensor in order: both list a block's layers in the
    order they run, with the shortcut last. A 1x1 convolution on pooled features is a linear layer here."""
    theirs = [(k, v) for k, v in source.state_dict().items() if "num_batches" not in k]
    ours = [(k, v) for k, v in target.state_dict().items() if "num_batches" not in k]
    assert len(theirs) == len(ours)
    with torch.no_grad():
        for (their_name, value), (our_name, tensor) in zip(theirs, ours, strict=True):
            assert value.numel() == tensor.numel(), (their_name, our_name)
            tensor.copy_(value.reshape(tensor.shape))


def randomise_norms(model: torch.nn.Module, seed: int = 0) -> None:
    """Statistics and scales that are not the identity, so that eps, padding and order show in the logits."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
                module.weight.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
