"""Convolutions for inference on a CPU: weights reordered once, activation and sum applied while outputs are written.

They call what PyTorch's compiler emits for CPUs, oneDNN's convolutions with post-operations; it is no public function.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from convscale.nn.convolution import pad, sides_of
from convscale.nn.layers import ConvNormAct, activate

# oneDNN's names of activations, their parameters and their variants.
_POST_OPS: dict[str | None, tuple[str, list[float], str]] = {
    None: ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    "silu": ("swish", [], ""),
    "hard_swish": ("hardswish", [], ""),
    "sigmoid": ("sigmoid", [], ""),
    "hard_sigmoid": ("hardsigmoid", [], ""),
    "gelu": ("gelu", [], "none"),
}

# A convolution of oneDNN's costs 20 to 50 us whatever it does, a matrix product 5 to 15: up to about this many MACs a
# 1x1 convolution is the faster as a product, with its activation in a pass of its own (docs/log.md).
PRODUCT_MACS = 3_000_000


FUSED_AFTER_A_SUM = (None, "relu")  # activations that oneDNN's sum can be followed by, in PyTorch


class Convolution(Protocol):
    """A convolution, and its activation."""

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))."""

    def plus(self, x: Tensor, other: Tensor, activation: str | None, overwrite: bool) -> Tensor:
        """`activation` of the convolution of x, which has none of its own, and `other`; over `other` if `overwrite`."""


def has_onednn(dtype: torch.dtype) -> bool:
    """Whether PyTorch has these convolutions, and this processor computes them in `dtype`."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.mkldnn, "_reorder_convolution_weight"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def packed(module: ConvNormAct, size: int) -> Convolution:
    """`module`, which has no norm, with a copy of its weights made for inputs of `size` pixels; others are allowed."""
    conv = module.conv
    is_product = conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1
    if is_product and conv.weight.dtype == torch.float32 and conv.weight.numel() * size * size <= PRODUCT_MACS:
        return PointwiseConvolution(module, size)
    return PackedConvolution(module, size)


class Product:
    """(..., in_features) -> (..., out_features): a matrix, a bias and an activation; weights are copied."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str | None) -> None:
        self.weight = weight.detach().flatten(1).clone(memory_format=torch.contiguous_format)
        self.bias = None if bias is None else bias.detach().clone()
        self.activation = activation

    def __call__(self, x: Tensor) -> Tensor:
        return activate(F.linear(x, self.weight, self.bias), self.activation, in_place=True)


class PointwiseConvolution:
    """A 1x1 convolution with few weights: of few pixels a matrix product, channels last, and oneDNN's of more."""

    def __init__(self, module: ConvNormAct, size: int) -> None:
        self.product = Product(module.conv.weight, module.conv.bias, module.activation)
        self.packed = PackedConvolution(module, size)

    def __call__(self, x: Tensor) -> Tensor:
        return self._multiplied(x) if self.is_product(x) else self.packed(x)

    def plus(self, x: Tensor, other: Tensor, activation: str | None, overwrite: bool) -> Tensor:
        if not self.is_product(x):
            return self.packed.plus(x, other, activation, overwrite)
        return activate(self._multiplied(x).add_(other), activation, in_place=True)

    def is_product(self, x: Tensor) -> bool:
        """Whether x is computed as a product: batch, height and width count."""
        return len(x) * x.shape[-2] * x.shape[-1] * self.product.weight.numel() <= PRODUCT_MACS

    def _multiplied(self, x: Tensor) -> Tensor:
        return self.product(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PackedConvolution:
    """Any convolution, by oneDNN. Its weights lie as oneDNN wants them for the size that the network has; inputs of
    another size give the same values.

    SAME padding before a stride depends on the size of the input, and may be one pixel more after it than before. A
    depthwise convolution then has a kernel with a zero row and column in front and pads the greater number on both
    sides: the same sums in the same order, without the padded copy of its input, which costs more than the zeros do.
    In others the zeros cost more, and the input is padded.
    """

    def __init__(self, module: ConvNormAct, size: int) -> None:
        conv = module.conv
        self.kernel, self.stride, self.groups = conv.kernel_size[0], conv.stride[0], conv.groups
        self.is_same = module.same and self.stride > 1 and self.kernel > 1
        self.is_depthwise = conv.groups == conv.in_channels == conv.out_channels
        self.bias = None if conv.bias is None else conv.bias.detach().clone()
        self.post_op = _POST_OPS[module.activation]
        self.shape = [1, conv.in_channels, size, size]
        self.plain = conv.weight.detach().clone() if self.is_same and self.is_depthwise else None
        self.weight = self._reordered(conv.weight.detach())
        self.uneven: dict[
            tuple[int, int], Tensor
        ] = {}  # weights by what (height, width) is padded more after it than before
        if self.plain is not None:
            self._placed(conv.weight.new_empty(self.shape))

    def __call__(self, x: Tensor) -> Tensor:
        x, weight, padding = self._placed(x)
        convolve: Any = torch.ops.mkldnn._convolution_pointwise.default
        stride = [self.stride, self.stride]
        written: Tensor = convolve(x, weight, self.bias, padding, stride, [1, 1], self.groups, *self.post_op)
        return written

    def plus(self, x: Tensor, other: Tensor, activation: str | None, overwrite: bool) -> Tensor:
        x, weight, padding = self._placed(x)
        fused = activation if activation in FUSED_AFTER_A_SUM else None
        operands: tuple[Tensor, ...] = (other, x) if overwrite else (x, other)
        convolve: Any = (
            torch.ops.mkldnn._convolution_pointwise_ if overwrite else torch.ops.mkldnn._convolution_pointwise
        )
        stride = [self.stride, self.stride]
        added: Tensor = convolve.binary(
            *operands, weight, self.bias, padding, stride, [1, 1], self.groups, "add", 1.0, fused, [], None
        )
        return added if fused == activation else activate(added, activation, in_place=True)

    def _placed(self, x: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """x, the weights that are applied to it, and the (height, width) that they are padded by."""
        if not self.is_same:
            return x, self.weight, [self.kernel // 2, self.kernel // 2]
        left, right, top, bottom = sides = sides_of(x, self.kernel, self.stride, same=True)
        uneven = (bottom - top, right - left)
        if not any(uneven):
            return x, self.weight, [top, left]
        if self.plain is None:
            return pad(x, sides), self.weight, [0, 0]
        if uneven not in self.uneven:
            self.uneven[uneven] = self._reordered(F.pad(self.plain, (uneven[1], 0, uneven[0], 0)))
        return x, self.uneven[uneven], [bottom, right]

    def _reordered(self, weight: Tensor) -> Tensor:
        """As oneDNN wants them; a copy. Whatever padding is said here, they serve any."""
        half, stride = [side // 2 for side in weight.shape[2:]], [self.stride, self.stride]
        reorder: Any = torch.ops.mkldnn._reorder_convolution_weight
        weight = weight.contiguous(memory_format=torch.channels_last)
        reordered: Tensor = reorder(weight, half, stride, [1, 1], self.groups, self.shape)
        return reordered
