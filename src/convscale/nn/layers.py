"""Modules for the rows of a layer graph, one class a kind of row. Features are (batch, channels, height, width)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscale.layers import (
    AddLayer,
    ConvLayer,
    GlobalPoolLayer,
    Layer,
    LinearLayer,
    MaxPoolLayer,
    MultiplyLayer,
)
from convscale.networks import ConvNet, Padding
from convscale.nn.convolution import convolve, own_padding, pad, sides_of, split_padding
from convscale.nn.observers import has_hooks, is_eager, is_seen

# Of x, written over it where the second argument says so.
ACTIVATIONS: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hard_swish": F.hardswish,
    "sigmoid": lambda x, inplace: x.sigmoid_() if inplace else x.sigmoid(),
    "hard_sigmoid": F.hardsigmoid,
    "gelu": lambda x, inplace: torch.ops.aten.gelu_(x) if inplace else F.gelu(x),
}


def activate(x: Tensor, activation: str | None, in_place: bool = False) -> Tensor:
    """`activation` of x, elementwise."""
    return x if activation is None else ACTIVATIONS[activation](x, in_place)


def may_overwrite(x: Tensor) -> bool:
    """Whether nothing but hooks could keep what is computed from x: no gradient is recorded, nothing observes it."""
    return not torch.is_grad_enabled() and is_eager(x)


class Row(nn.Module):
    """A row of the graph: it creates a new output, and keeps nothing."""

    def is_seen(self) -> bool:
        """Whether anything but its block may see its inputs or its output."""
        return has_hooks(self) or any(map(is_seen, self._modules.values()))


class ConvNormAct(Row):
    """Convolution, batch norm, activation; without norm, a convolution with bias."""

    def __init__(self, layer: ConvLayer, padding: Padding, norm_eps: float, norm_momentum: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            layer.stride,
            padding=own_padding(layer.kernel, layer.stride, padding == "same"),
            groups=layer.groups,
            bias=layer.bias,
        )
        self.norm = nn.BatchNorm2d(layer.out_channels, norm_eps, norm_momentum) if layer.norm else None
        self.activation = layer.activation
        self.kernel, self.stride = layer.kernel, layer.stride
        self.same = padding == "same"

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))."""
        is_free = type(self.conv) is nn.Conv2d and is_eager(x) and not (is_seen(self.conv) or is_seen(self.norm))
        x = convolve(self.conv, x, self.same) if is_free else self.conv(self._padded(x))
        if self.norm is not None:
            x = self.norm(x)
        return activate(x, self.activation, in_place=is_free and not torch.is_grad_enabled())

    def _padded(self, x: Tensor) -> Tensor:
        """x with the padding that the convolution leaves to others."""
        if self.same and self.stride > 1 and self.kernel > 1:
            return pad(x, sides_of(x, self.kernel, self.stride, same=True))
        return x


class MaxPool(Row):
    """Max pool, padded as the network pads."""

    def __init__(self, layer: MaxPoolLayer, padding: Padding) -> None:
        super().__init__()
        self.kernel, self.stride = layer.kernel, layer.stride
        self.same = padding == "same"

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, ceil(h / stride), ceil(w / stride))."""
        sides = sides_of(x, self.kernel, self.stride, self.same)
        if self.same and not is_eager(x):
            return F.max_pool2d(pad(x, sides, -math.inf), self.kernel, self.stride)
        x, padding = split_padding(x, sides, -math.inf)
        return F.max_pool2d(x, self.kernel, self.stride, padding)


class GlobalPool(Row):
    """Mean over height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, 1, 1)."""
        if torch.is_grad_enabled() and is_eager(
            x
        ):  # the gradient of a mean is a full map of equal values, that of a sum a view
            return x.sum((2, 3), keepdim=True) * (1 / (x.shape[-2] * x.shape[-1]))
        return x.mean((2, 3), keepdim=True)


class Multiply(Row):
    """Features times the squeeze's gate."""

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """(n, c, h, w), (n, c, 1, 1) -> (n, c, h, w)."""
        return x * gate

    def in_place(self, x: Tensor, gate: Tensor) -> Tensor:
        """The same, written over x."""
        return x.mul_(gate)


class Add(Row):
    """Shortcut plus branch, then activation. In training the branch of a sample is dropped with probability
    `drop_path` and scaled by 1 / (1 - drop_path) otherwise (stochastic depth, Huang et al. 2016)."""

    def __init__(self, activation: str | None, drop_path: float) -> None:
        super().__init__()
        self.activation = activation
        self.drop_path = drop_path

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        """Two of (n, c, h, w) -> (n, c, h, w)."""
        if self.training and self.drop_path > 0:
            keep = 1 - self.drop_path
            kept = torch.empty(len(branch), 1, 1, 1, device=branch.device, dtype=branch.dtype)
            added = torch.addcmul(shortcut, branch, kept.bernoulli_(keep) / keep)
        else:
            added = shortcut + branch
        return activate(added, self.activation, may_overwrite(added))

    def in_place(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        """The same, written over the branch."""
        if self.training and self.drop_path > 0:
            return self(shortcut, branch)  # type: ignore[no-any-return]
        return activate(branch.add_(shortcut), self.activation, in_place=True)

    def extra_repr(self) -> str:
        return f"activation={self.activation}, drop_path={self.drop_path:.4g}"


class Linear(Row):
    """Dropout, fully connected layer, activation, on pooled features."""

    def __init__(self, layer: LinearLayer, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.in_channels, layer.out_channels)
        self.activation = layer.activation
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_features, 1, 1) or (n, in_features) -> (n, out_features)."""
        x = F.dropout(x.flatten(1), self.dropout, self.training)
        return activate(self.linear(x), self.activation, may_overwrite(x) and not is_seen(self.linear))


def build_layer(layer: Layer, network: ConvNet, *, dropout: float, drop_path: float, norm_momentum: float) -> nn.Module:
    """The module of one row of the graph."""
    match layer:
        case ConvLayer():
            return ConvNormAct(layer, network.padding, network.norm_eps, norm_momentum)
        case MaxPoolLayer():
            return MaxPool(layer, network.padding)
        case GlobalPoolLayer():
            return GlobalPool()
        case MultiplyLayer():
            return Multiply()
        case AddLayer():
            return Add(layer.activation, drop_path)
        case LinearLayer():
            return Linear(layer, dropout if layer.name == "classifier" else 0.0)
