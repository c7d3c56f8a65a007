"""verify: the library that weights come from, built here, and its logits beside ours on the same images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convscale.data import FileImages
from convscale.data.loader import Normalise, evaluation_batches
from convscale.dialects.layout import Dialect
from convscale.dialects.published import rows_of
from convscale.errors import ConfigError, DataError, MissingExtraError
from convscale.headers import WeightsHeader
from convscale.layers import ConvLayer, resolve
from convscale.networks import ConvNet
from convscale.scaling import published

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
COMPARED_IMAGES = 64


@torch.inference_mode()
def compare(
    dialect: Dialect,
    tensors: dict[str, Tensor],
    model: nn.Module,
    header: WeightsHeader,
    images: str | Path,
    batch: int = 8,
) -> float:
    """The largest difference of logits, over the largest logit, between the library's own network with `tensors`, the
    state that it loads, and `model`, on up to 64 image files.

    Raises MissingExtraError where the library is not installed, ConfigError where it cannot build the network or the
    state has no classifier, DataError for images that cannot be read.
    """
    bias = tensors.get(dialect.entries(resolve(header.network))[-1].theirs)  # the classifier's: perhaps 1,001
    if bias is None:
        raise ConfigError("there is no classifier whose logits could be compared", hint="leave --verify out")
    peer = build_peer(dialect.name, header.network.with_classes(bias.numel()))
    peer.load_state_dict(tensors, strict=False)
    files = FileImages(paths := _image_files(Path(images)), np.zeros(len(paths), dtype=np.int64))
    normalise, worst, scale = Normalise(header.preprocessing, torch.device("cpu")), 0.0, 0.0
    for pixels, _, missing, _ in evaluation_batches(files, header.preprocessing, batch):
        if missing:
            raise DataError(missing[0][1], hint="remove it or replace it")
        inputs = normalise(pixels)
        theirs, ours = logits_of(peer(inputs), header), model(inputs)
        worst = max(worst, float((theirs - ours).abs().max()))
        scale = max(scale, float(theirs.abs().max()))
    return worst / max(scale, 1e-12)


def logits_of(output: Any, header: WeightsHeader) -> Tensor:
    """The logits of our classes in what a peer puts out, the background left out."""
    logits: Tensor = getattr(output, "logits", output)
    return logits[:, -header.network.num_classes :]


def _image_files(path: Path) -> list[Path]:
    found: Sequence[Path] = [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)
    if not found or not found[0].is_file():
        raise DataError(f"{path}: no image file", hint=f"a file, or a folder of {', '.join(IMAGES)}")
    return list(found[:COMPARED_IMAGES])


def build_peer(dialect: str, network: ConvNet) -> nn.Module:
    """The library's own module of `network`, in eval mode, its weights random; padding as the library pads, BN eps as
    the network says. Raises as `compare`."""
    makers = {"timm": _timm, "torchvision": _torchvision, "lukemelas": _lukemelas, "transformers": _transformers}
    if dialect not in makers:
        raise ConfigError(f"nothing here builds a network of {dialect} to compare with", hint="leave --verify out")
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
    even = [  # blocks whose stride meets an odd side: padded evenly, which transformers has to be told
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
        raise ConfigError(f"{dialect} has no network {network.name} to compare with", hint="leave --verify out")
    return rows[0].architecture


def library(name: str) -> Any:
    """An installed library, imported; torchvision's operators are declared first where its build lacks them."""
    try:
        _declare_operators()
        return import_module(name)
    except ImportError:
        raise MissingExtraError(name.split(".")[0], "peers", "comparing logits") from None


_DECLARED: list[torch.library.Library] = []  # kept: an operator lives as long as its library


def _declare_operators() -> None:
    """torchvision cannot be imported beside a PyTorch of another build, for want of two operators that no network of
    ours needs."""
    if not _DECLARED and not hasattr(torch.ops.torchvision, "nms"):
        _DECLARED.append(torch.library.Library("torchvision", "DEF"))  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            _DECLARED[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
