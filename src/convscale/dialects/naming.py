"""What PyTorch libraries call the layers of a network.

Each function takes a layer graph and gives, for every layer with weights, our name for it ("stages.0.1.depthwise"),
the peer's name of its kernel and that of its batch norm, None where it has none. A network that the peer has no names
for is a ConfigError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, NoReturn

from convscale.errors import ConfigError
from convscale.layers import BlockGraph, ConvLayer, LayerGraph, LinearLayer
from convscale.networks import ConvPoolHidden, Pool


class Names(NamedTuple):
    """One layer: ours, the peer's kernel, the peer's norm. `as_conv`: a linear layer that the peer holds as a 1x1
    convolution."""

    layer: str
    kernel: str
    norm: str | None
    as_conv: bool = False


def timm_names(graph: LayerGraph) -> Iterator[Names]:
    """timm: the EfficientNet and MobileNet builder (conv_stem, blocks.S.B, conv_head, classifier), and ResNet."""
    if graph.stages[0][0].kind in _RESNET:
        yield from _resnet_names(graph, "timm")
        return
    yield Names("stem.conv", "conv_stem", "bn1")
    for stage, index, block in _blocks(graph):
        expands = block.layers[0].name == "expand"
        names = _TIMM.get((block.kind, expands)) or _cannot(graph, "timm", block)
        norms = 0
        for layer in _with_weights(block):
            norms += layer.name in names
            peer = names.get(layer.name) or _TIMM_SQUEEZE[layer.name]
            at = f"blocks.{stage}.{index}"
            yield Names(
                f"stages.{stage}.{index}.{layer.name}",
                f"{at}.{peer}",
                f"{at}.bn{norms}" if layer.name in names else None,
            )
    head = graph.network.head
    if isinstance(head, ConvPoolHidden):
        last = f"blocks.{len(graph.stages)}.0"
        yield Names("head.conv", f"{last}.conv", f"{last}.bn1")
        yield Names("head.hidden", "conv_head", None, as_conv=True)
    elif not isinstance(head, Pool):
        yield Names("head.conv", "conv_head", "bn2")
    yield Names("head.classifier", "classifier", None)


_TIMM = {
    ("mbconv", True): {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"},
    ("mbconv", False): {"depthwise": "conv_dw", "project": "conv_pw"},
    ("fused-mbconv", True): {"expand": "conv_exp", "project": "conv_pwl"},
    ("fused-mbconv", False): {"conv": "conv"},
    ("separable", False): {"depthwise": "conv_dw", "pointwise": "conv_pw"},
}
_TIMM_SQUEEZE = {"squeeze_reduce": "se.conv_reduce", "squeeze_expand": "se.conv_expand"}
_RESNET = {
    "basic": {"conv1": ("conv1", "bn1"), "conv2": ("conv2", "bn2")},
    "bottleneck": {"reduce": ("conv1", "bn1"), "conv": ("conv2", "bn2"), "project": ("conv3", "bn3")},
}


def _resnet_names(graph: LayerGraph, dialect: str) -> Iterator[Names]:
    """ResNet and its kin, which timm and torchvision name alike."""
    if not graph.network.stem.pool or not isinstance(graph.network.head, Pool):
        _cannot(graph, dialect)
    yield Names("stem.conv", "conv1", "bn1")
    for stage, index, block in _blocks(graph):
        names = _RESNET.get(block.kind) or _cannot(graph, dialect, block)
        names = names | {"shortcut": ("downsample.0", "downsample.1")}
        for layer in _with_weights(block):
            kernel, norm = names.get(layer.name) or _cannot(graph, dialect, block)
            at = f"layer{stage + 1}.{index}"
            yield Names(f"stages.{stage}.{index}.{layer.name}", f"{at}.{kernel}", f"{at}.{norm}")
    yield Names("head.classifier", "fc", None)


def torchvision_names(graph: LayerGraph) -> Iterator[Names]:
    """torchvision: EfficientNet and V2, MobileNetV2 and V3, MnasNet, ResNet, each with names of its own."""
    network, blocks = graph.network, [block for _, _, block in _blocks(graph)]
    kinds = {block.kind for block in blocks}
    squeezed = any(layer.name == "squeeze_reduce" for block in blocks for layer in block.layers)
    if kinds <= set(_RESNET):
        return _resnet_names(graph, "torchvision")
    if not kinds <= {"mbconv", "fused-mbconv"} or isinstance(network.head, Pool):
        _cannot(graph, "torchvision")
    if isinstance(network.head, ConvPoolHidden):
        return _torchvision_mobilenet_v3(graph)
    if squeezed and network.stem.activation == "silu":
        return _torchvision_efficientnet(graph)
    kernels = {layer.kernel for block in blocks for layer in block.layers if isinstance(layer, ConvLayer)}
    if kinds == {"mbconv"} and kernels == {1, 3} and not squeezed and network.stem.activation == "relu6":
        return _torchvision_mobilenet_v2(graph)
    if kinds == {"mbconv"} and not squeezed and network.stem.activation == "relu":
        return _torchvision_mnasnet(graph)
    _cannot(graph, "torchvision")


def _torchvision_block(block: BlockGraph, ours: str, at: str) -> Iterator[Names]:
    """Convolutions and squeeze of a block, counted in the order they run."""
    place = -1
    for layer in _with_weights(block):
        place += layer.name != "squeeze_expand"  # the squeeze's two layers share a place
        if layer.name.startswith("squeeze"):
            part = "fc1" if layer.name == "squeeze_reduce" else "fc2"
            yield Names(f"{ours}.{layer.name}", f"{at}.{place}.{part}", None)
        else:
            yield Names(f"{ours}.{layer.name}", f"{at}.{place}.0", f"{at}.{place}.1")


def _torchvision_efficientnet(graph: LayerGraph) -> Iterator[Names]:
    yield Names("stem.conv", "features.0.0", "features.0.1")
    for stage, index, block in _blocks(graph):
        yield from _torchvision_block(block, f"stages.{stage}.{index}", f"features.{stage + 1}.{index}.block")
    last = f"features.{len(graph.stages) + 1}"
    yield Names("head.conv", f"{last}.0", f"{last}.1")
    yield Names("head.classifier", "classifier.1", None)


def _torchvision_mobilenet_v3(graph: LayerGraph) -> Iterator[Names]:
    yield Names("stem.conv", "features.0.0", "features.0.1")
    count = 0
    for count, (stage, index, block) in enumerate(_blocks(graph), start=1):
        yield from _torchvision_block(block, f"stages.{stage}.{index}", f"features.{count}.block")
    yield Names("head.conv", f"features.{count + 1}.0", f"features.{count + 1}.1")
    yield Names("head.hidden", "classifier.0", None)
    yield Names("head.classifier", "classifier.3", None)


def _torchvision_mobilenet_v2(graph: LayerGraph) -> Iterator[Names]:
    yield Names("stem.conv", "features.0.0", "features.0.1")
    count = 0
    for count, (stage, index, block) in enumerate(_blocks(graph), start=1):
        at, ours = f"features.{count}.conv", f"stages.{stage}.{index}"
        *inner, project = _with_weights(block)
        for place, layer in enumerate(inner):
            yield Names(f"{ours}.{layer.name}", f"{at}.{place}.0", f"{at}.{place}.1")
        yield Names(f"{ours}.{project.name}", f"{at}.{len(inner)}", f"{at}.{len(inner) + 1}")
    yield Names("head.conv", f"features.{count + 1}.0", f"features.{count + 1}.1")
    yield Names("head.classifier", "classifier.1", None)


def _torchvision_mnasnet(graph: LayerGraph) -> Iterator[Names]:
    """The layers of the stem and of the first block stand side by side with the later stages."""
    yield Names("stem.conv", "layers.0", "layers.1")
    for stage, index, block in _blocks(graph):
        if stage == 0 and (index > 0 or block.layers[0].name == "expand"):
            _cannot(graph, "torchvision", block)
        for place, layer in enumerate(_with_weights(block)):
            start = 3 * place + (3 if stage == 0 else 0)
            at = "layers" if stage == 0 else f"layers.{7 + stage}.{index}.layers"
            yield Names(f"stages.{stage}.{index}.{layer.name}", f"{at}.{start}", f"{at}.{start + 1}")
    first = 7 + len(graph.stages)
    yield Names("head.conv", f"layers.{first}", f"layers.{first + 1}")
    yield Names("head.classifier", "classifier.1", None)


def lukemelas_names(graph: LayerGraph) -> Iterator[Names]:
    """efficientnet_pytorch (lukemelas): EfficientNet alone, blocks in one list."""
    _require_efficientnet(graph, "lukemelas")
    yield Names("stem.conv", "_conv_stem", "_bn0")
    peer = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"),
            "squeeze_reduce": ("_se_reduce", None), "squeeze_expand": ("_se_expand", None),
            "project": ("_project_conv", "_bn2")}  # fmt: skip
    yield from _flat(graph, "_blocks", peer)
    yield Names("head.conv", "_conv_head", "_bn1")
    yield Names("head.classifier", "_fc", None)


def transformers_names(graph: LayerGraph) -> Iterator[Names]:
    """transformers' EfficientNetForImageClassification, blocks in one list."""
    _require_efficientnet(graph, "transformers")
    yield Names("stem.conv", "efficientnet.embeddings.convolution", "efficientnet.embeddings.batchnorm")
    peer = {"expand": ("expansion.expand_conv", "expansion.expand_bn"),
            "depthwise": ("depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"),
            "squeeze_reduce": ("squeeze_excite.reduce", None), "squeeze_expand": ("squeeze_excite.expand", None),
            "project": ("projection.project_conv", "projection.project_bn")}  # fmt: skip
    yield from _flat(graph, "efficientnet.encoder.blocks", peer)
    yield Names("head.conv", "efficientnet.encoder.top_conv", "efficientnet.encoder.top_bn")
    yield Names("head.classifier", "classifier", None)


def keras_names(graph: LayerGraph) -> Iterator[Names]:
    """keras.applications' EfficientNet: block1a_dwconv, block1a_bn; the layers' own names."""
    _require_efficientnet(graph, "keras")
    yield Names("stem.conv", "stem_conv", "stem_bn")
    peer = {"expand": ("expand_conv", "expand_bn"), "depthwise": ("dwconv", "bn"),
            "squeeze_reduce": ("se_reduce", None), "squeeze_expand": ("se_expand", None),
            "project": ("project_conv", "project_bn")}  # fmt: skip
    for stage, index, block in _blocks(graph):
        at = f"block{stage + 1}{chr(ord('a') + index)}"
        for layer in _with_weights(block):
            kernel, norm = peer[layer.name]
            yield Names(f"stages.{stage}.{index}.{layer.name}", f"{at}_{kernel}", norm and f"{at}_{norm}")
    yield Names("head.conv", "top_conv", "top_bn")
    yield Names("head.classifier", "predictions", None)


def keras_numbered_names(graph: LayerGraph) -> Iterator[Names]:
    """The same networks in files of Keras 3, which count the layers of each class in the order they run."""
    _require_efficientnet(graph, "keras")
    counts: dict[str, int] = {}

    def next_of(kind: str) -> str:
        counts[kind] = counts.get(kind, -1) + 1
        return f"{kind}_{counts[kind]}" if counts[kind] else kind

    for name, layer in graph.layers():
        if isinstance(layer, LinearLayer):
            yield Names(name, next_of("dense"), None)
        elif isinstance(layer, ConvLayer):
            kernel = next_of("depthwise_conv2d" if layer.groups > 1 else "conv2d")
            yield Names(name, kernel, next_of("batch_normalization") if layer.norm else None)


def own_names(graph: LayerGraph) -> Iterator[Names]:
    """Convscale's own modules: a state_dict without the header of a weights file."""
    for name, layer in graph.layers():
        if isinstance(layer, ConvLayer):
            yield Names(name, f"{name}.conv", f"{name}.norm" if layer.norm else None)
        elif isinstance(layer, LinearLayer):
            yield Names(name, f"{name}.linear", None)


def tensorflow_names(graph: LayerGraph) -> Iterator[Names]:
    """Checkpoints of the reference code: stem/conv2d, blocks_0/depthwise_conv2d; layers of a kind are counted within
    their block (efficientnet_model.py)."""
    _require_efficientnet(graph, "tf", squeeze=None)
    yield Names("stem.conv", "stem/conv2d", "stem/batch_normalization")
    for count, (stage, index, block) in enumerate(_blocks(graph)):
        convolutions = norms = 0
        for layer in _with_weights(block):
            at, ours = f"blocks_{count}", f"stages.{stage}.{index}.{layer.name}"
            if layer.name.startswith("squeeze"):
                yield Names(ours, f"{at}/se/conv2d" + ("_1" if layer.name == "squeeze_expand" else ""), None)
                continue
            norm = f"{at}/batch_normalization" + (f"_{norms}" if norms else "")
            norms += 1
            if layer.name == "depthwise":
                yield Names(ours, f"{at}/depthwise_conv2d", norm)
            else:
                yield Names(ours, f"{at}/conv2d" + (f"_{convolutions}" if convolutions else ""), norm)
                convolutions += 1
    yield Names("head.conv", "head/conv2d", "head/batch_normalization")
    yield Names("head.classifier", "head/dense", None)


def _flat(graph: LayerGraph, blocks: str, peer: dict[str, tuple[str, str | None]]) -> Iterator[Names]:
    """Blocks in one list, each layer by the peer's own word."""
    for count, (stage, index, block) in enumerate(_blocks(graph)):
        at = f"{blocks}.{count}"
        for layer in _with_weights(block):
            kernel, norm = peer[layer.name]
            yield Names(f"stages.{stage}.{index}.{layer.name}", f"{at}.{kernel}", norm and f"{at}.{norm}")


def _blocks(graph: LayerGraph) -> Iterator[tuple[int, int, BlockGraph]]:
    for stage, blocks in enumerate(graph.stages):
        for index, block in enumerate(blocks):
            yield stage, index, block


def _with_weights(block: BlockGraph) -> list[ConvLayer | LinearLayer]:
    return [layer for layer in block.layers if isinstance(layer, ConvLayer | LinearLayer)]


def _require_efficientnet(graph: LayerGraph, dialect: str, squeeze: bool | None = True) -> None:
    """MBConv blocks, with a squeeze where `squeeze`, and a convolution in the head."""
    blocks: Iterable[BlockGraph] = [block for stage in graph.stages for block in stage]
    for block in blocks:
        squeezed = any(layer.name == "squeeze_reduce" for layer in block.layers)
        if block.kind != "mbconv" or (squeeze is not None and squeezed != squeeze):
            _cannot(graph, dialect, block)
    if isinstance(graph.network.head, Pool | ConvPoolHidden):
        _cannot(graph, dialect)


def _cannot(graph: LayerGraph, dialect: str, block: BlockGraph | None = None) -> NoReturn:
    what = f" with {block.kind} blocks like these" if block else ""
    raise ConfigError(f"{dialect} has no names for {graph.network.name}: it has no network{what}")
