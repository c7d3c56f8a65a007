"""Which tensor of a peer is which of ours: names, shapes and the order of axes, read off the layer graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from convscale.dialects.naming import (
    Names,
    keras_names,
    keras_numbered_names,
    lukemelas_names,
    own_names,
    tensorflow_names,
    timm_names,
    torchvision_names,
    transformers_names,
)
from convscale.errors import ConfigError, UnknownNameError
from convscale.layers import ConvLayer, LayerGraph, LinearLayer
from convscale.units import format_number

Shape = tuple[int, ...]


class Entry(NamedTuple):
    """A tensor: our name and shape, the peer's name and shape, and how the peer's axes become ours."""

    ours: str
    shape: Shape
    theirs: str
    peer_shape: Shape
    axes: tuple[int, ...] | None = None

    def to_ours(self, tensor: Tensor) -> Tensor:
        """The peer's tensor as ours."""
        return (tensor if self.axes is None else tensor.permute(self.axes)).reshape(self.shape).contiguous()

    def to_theirs(self, tensor: Tensor) -> Tensor:
        """Our tensor as the peer's: of dialects whose axes are PyTorch's."""
        assert self.axes is None, "nothing is written with other axes"
        return tensor.reshape(self.peer_shape).contiguous()


@dataclass(frozen=True, slots=True)
class Dialect:
    """A library's way to name and lay out weights.

    signs: what names begin with in its files alone. keras: kernels are stored height, width, in, out.
    follows_reference: its weights are those of the reference code, padded and normed as there.
    """

    name: str
    names: Callable[[LayerGraph], Iterator[Names]]
    signs: tuple[str, ...]
    keras: bool = False
    follows_reference: bool = False

    def entries(self, graph: LayerGraph) -> list[Entry]:
        """Every tensor of a network. Raises ConfigError where the dialect has no names for it."""
        layers = dict(graph.layers())
        found: list[Entry] = []
        for names in self.names(graph):
            layer = layers[names.layer]
            assert isinstance(layer, ConvLayer | LinearLayer), names
            make = self._keras if self.keras else self._torch
            found += make(names, layer)
        return found

    def _torch(self, names: Names, layer: ConvLayer | LinearLayer) -> Iterator[Entry]:
        ours, shape, bias = _kernel(names.layer, layer)
        peer_shape = (*shape, 1, 1) if names.as_conv else shape
        yield Entry(f"{ours}.weight", shape, f"{names.kernel}.weight", peer_shape)
        width = (layer.out_channels,)
        if bias:
            yield Entry(f"{ours}.bias", width, f"{names.kernel}.bias", width)
        if names.norm is not None:
            for part in _NORM:
                yield Entry(f"{names.layer}.norm.{part}", width, f"{names.norm}.{part}", width)

    def _keras(self, names: Names, layer: ConvLayer | LinearLayer) -> Iterator[Entry]:
        ours, shape, bias = _kernel(names.layer, layer)
        width = (layer.out_channels,)
        axes: tuple[int, ...]
        if isinstance(layer, LinearLayer):
            kernel, axes = "kernel", (1, 0)
        elif layer.groups > 1:
            kernel, axes = "depthwise_kernel", (2, 3, 0, 1)
        else:
            kernel, axes = "kernel", (3, 2, 0, 1)
        peer_shape = tuple(shape[axes.index(axis)] for axis in range(len(shape)))
        yield Entry(f"{ours}.weight", shape, f"{names.kernel}/{kernel}", peer_shape, axes)
        if bias:
            yield Entry(f"{ours}.bias", width, f"{names.kernel}/bias", width)
        if names.norm is not None:
            for part, theirs in zip(_NORM, ("gamma", "beta", "moving_mean", "moving_variance"), strict=True):
                yield Entry(f"{names.layer}.norm.{part}", width, f"{names.norm}/{theirs}", width)


_NORM = ("weight", "bias", "running_mean", "running_var")


def _kernel(name: str, layer: ConvLayer | LinearLayer) -> tuple[str, Shape, bool]:
    """Our name of a layer's kernel, its shape, and whether it has a bias."""
    if isinstance(layer, LinearLayer):
        return f"{name}.linear", (layer.out_channels, layer.in_channels), True
    shape = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel)
    return f"{name}.conv", shape, layer.bias


# ResNets, which timm and torchvision name alike, are taken for torchvision's.
_KNOWN = (
    Dialect("timm", timm_names, ("conv_stem.weight",)),
    Dialect(
        "torchvision",
        torchvision_names,
        ("features.0.0.weight", "layers.8.0.layers.0.weight", "layer1.0.conv1.weight"),
    ),
    Dialect("lukemelas", lukemelas_names, ("_conv_stem.weight",), follows_reference=True),
    Dialect(
        "transformers",
        transformers_names,
        ("efficientnet.embeddings.", "embeddings.convolution."),
        follows_reference=True,
    ),
    Dialect("keras", keras_names, ("stem_conv/",), keras=True, follows_reference=True),
    Dialect("keras", keras_numbered_names, ("depthwise_conv2d/",), keras=True, follows_reference=True),
    Dialect("tf", tensorflow_names, ("stem/conv2d/",), keras=True, follows_reference=True),
    Dialect("convscale", own_names, ("stem.conv.conv.weight",)),
)
DIALECTS = tuple(dict.fromkeys(known.name for known in _KNOWN))
TORCH_SIGNS = tuple(sign for known in _KNOWN if not known.keras for sign in known.signs)


def dialect(name: str) -> Dialect:
    """A dialect by name. Raises UnknownNameError."""
    for known in _KNOWN:
        if known.name == name:
            return known
    raise UnknownNameError("dialect", name, DIALECTS)


def recognise(keys: Iterable[str], where: str, name: str | None = None) -> Dialect:
    """The dialect that the names of a file's tensors are of, `name` where the caller knows it.

    Raises ConfigError if the dialect is not known, UnknownNameError for a name that is no dialect.
    """
    names = set(keys)
    for known in _KNOWN:
        if name in (None, known.name) and any(key.startswith(known.signs) for key in names):
            return known
    if name is not None:
        return dialect(name)
    raise ConfigError(
        f"{where}: {format_number(len(names), 'tensor')}, of no known dialect; the first is {min(names, default='')!r}",
        hint=f"--from one of {', '.join(DIALECTS)}",
    )
