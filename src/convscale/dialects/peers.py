"""peers: the networks of other libraries, built here with weights in them, as functions of pixels."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.library import Library

from convscale.data.loader import Normalise
from convscale.dialects.checking import first_line
from convscale.dialects.published_weights import rows_of
from convscale.errors import ConfigError, ConvscaleError, MissingExtraError
from convscale.headers import WeightsHeader
from convscale.layers import ConvLayer, resolve
from convscale.networks import ConvNet
from convscale.preprocessing import IMAGENET_STD
from convscale.scaling import published

Peer = Callable[[Tensor], Tensor]  # pixels of 0 to 255, (n, 3, size, size) -> logits, (n, classes)


def load_peer(dialect: str, source: Path, tensors: dict[str, Tensor], header: WeightsHeader, classes: int) -> Peer:
    """The library's own network with the weights in `source`, which hold `tensors`.

    A checkpoint of the reference code goes into Keras's network, which has the same layers. Raises MissingExtraError
    where the library is not installed, ConfigError where it has no such network.
    """
    if dialect == "convscale":
        raise ConfigError("these are Convscale's own weights: nothing to compare with", hint="omit --verify")
    network, normalise = header.network.with_classes(classes), Normalise(header.preprocessing, torch.device("cpu"))
    try:
        if dialect == "keras":
            return _keras_peer(network, source)
        if dialect == "tf":
            return _tensorflow_peer(network, tensors, normalise)
        return _torch_peer(build_peer(dialect, network), tensors, normalise)
    except (LookupError, RuntimeError, ValueError) as error:
        if isinstance(error, ConvscaleError):
            raise
        message = f"{dialect}'s own {network.name} does not take these weights: {first_line(error)}"
        raise ConfigError(message, hint="omit --verify") from None


def _torch_peer(peer: nn.Module, tensors: dict[str, Tensor], normalise: Normalise) -> Peer:
    peer.load_state_dict(tensors, strict=False)

    def logits(pixels: Tensor) -> Tensor:
        found = peer(normalise(pixels))
        return getattr(found, "logits", found)  # type: ignore[no-any-return]

    return logits


def build_peer(dialect: str, network: ConvNet) -> nn.Module:
    """The library's own module of `network`, in eval mode, its weights random; padding as the library pads, BN eps as
    the network says. Raises as `compare`."""
    makers = {"timm": _timm, "torchvision": _torchvision, "lukemelas": _lukemelas, "transformers": _transformers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = makers[dialect](network)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = network.norm_eps
    return module.eval()


def _timm(network: ConvNet) -> Any:
    name = _architecture("timm", network)
    padded = {} if name.startswith(("resn", "wide", "regnet")) else {
        "pad_type": "same" if network.padding == "same" else ""
    }  # fmt: skip
    return library("timm").create_model(
        name, num_classes=network.num_classes, in_chans=network.input_channels, **padded
    )


def _torchvision(network: ConvNet) -> Any:
    models = library("torchvision.models")
    return models.get_model(_architecture("torchvision", network), num_classes=network.num_classes)


def _lukemelas(network: ConvNet) -> Any:
    return library("efficientnet_pytorch").EfficientNet.from_name(
        network.name, image_size=network.resolution, num_classes=network.num_classes
    )


def _transformers(network: ConvNet) -> Any:
    transformers, scaling = library("transformers"), published(network.name.removeprefix("efficientnet-"))
    graph = resolve(network)
    blocks = [block for stage in graph.stages for block in stage]
    even = [  # blocks whose stride meets an odd side: padded evenly, which transformers needs to know
        index for index, block in enumerate(blocks) for layer in block.layers
        if isinstance(layer, ConvLayer) and layer.stride == 2 and layer.padding[0] == layer.padding[1]
    ]  # fmt: skip
    config = transformers.EfficientNetConfig(
        image_size=network.resolution, width_coefficient=scaling.width, depth_coefficient=scaling.depth,
        hidden_dim=graph.head.layers[0].out_channels, num_labels=network.num_classes, depthwise_padding=even,
    )  # fmt: skip
    return transformers.EfficientNetForImageClassification(config)


def _architecture(dialect: str, network: ConvNet) -> str:
    rows = rows_of(dialect, network.name)
    if not rows:
        raise ConfigError(f"{dialect} has no network {network.name} to compare with", hint="omit --verify")
    return rows[0].architecture


def library(name: str) -> Any:
    """An installed library, imported; torchvision's operators are declared first where its build lacks them."""
    try:
        _declare_operators()
        return import_module(name)
    except ImportError:
        raise MissingExtraError(name.split(".")[0], "peers", "comparing logits") from None


_DECLARED: list[Library] = []  # kept: an operator lives as long as its library


def _declare_operators() -> None:
    """Where torchvision cannot be imported beside a PyTorch of another build, for want of two operators that no network
    of ours needs, they are declared. Where it can, it declares them itself: twice would end the process."""
    if _DECLARED or "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError:
        _DECLARED.append(Library("torchvision", "DEF"))  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            _DECLARED[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]


def _keras_peer(network: ConvNet, source: Path) -> Peer:
    """Keras reads its own file, and normalises inside its network."""
    model = _keras_application(network)
    model.load_weights(source)
    inside = next(layer for layer in model.layers if type(layer).__name__ == "Normalization")
    mended = np.array(IMAGENET_STD)
    if np.allclose(inside.adapt_variance, mended, atol=1e-3):  # published weights: it builds a Rescaling for them
        inside.adapt_variance.assign(mended**2)
        inside.finalize_state()
    return lambda pixels: _keras_logits(model, pixels.to(torch.float32))


def _tensorflow_peer(network: ConvNet, tensors: dict[str, Tensor], normalise: Normalise) -> Peer:
    """The reference code normalises outside its network: Keras's own normalisation is left at nothing but 1/255."""
    model = _keras_application(network)
    for name, variable in _reference_names(model):
        variable.assign(tensors[name].numpy())
    return lambda pixels: _keras_logits(model, 255 * normalise(pixels))


def _reference_names(model: Any) -> Iterator[tuple[str, Any]]:
    """The variables of Keras's network as the reference code names them: layers of a class are counted in the order
    they run, within each block, and the squeeze apart."""
    blocks: list[str] = []
    counts: dict[str, int] = {}
    for layer in model.layers:
        kind = _REFERENCE.get(type(layer).__name__)
        if kind is None:
            continue
        block, _, part = layer.name.partition("_")
        if block.startswith("block"):
            blocks += [block] if block not in blocks else []
            place = f"blocks_{len(blocks) - 1}" + ("/se" if part.startswith("se_") else "")
        else:
            place = "stem" if block == "stem" else "head"
        name = f"{place}/{kind}"
        count = counts[name] = counts.get(name, -1) + 1
        for variable in layer.weights:
            word = "depthwise_kernel" if kind == "depthwise_conv2d" and variable.name == "kernel" else variable.name
            yield f"{name}_{count}/{word}" if count else f"{name}/{word}", variable


_REFERENCE = {
    "Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "BatchNormalization": "batch_normalization",
    "Dense": "dense",
}  # fmt: skip


def _keras_application(network: ConvNet) -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # which is always here; the logits are the same with any
    applications = library("keras.applications")
    make = getattr(applications, network.name.title().replace("-", "").replace("Efficientnet", "EfficientNet"), None)
    if make is None:
        raise ConfigError(f"keras has no network {network.name} to compare with", hint="omit --verify")
    shape = (network.resolution, network.resolution, network.input_channels)
    return make(weights=None, classes=network.num_classes, classifier_activation=None, input_shape=shape)


def _keras_logits(model: Any, images: Tensor) -> Tensor:
    """(n, 3, size, size) -> (n, classes)."""
    keras = library("keras")
    found = model(keras.ops.convert_to_tensor(images.permute(0, 2, 3, 1).contiguous().numpy()), training=False)
    return torch.from_numpy(np.array(keras.ops.convert_to_numpy(found)))
