"""Convolution for training, where PyTorch's CPU kernels are slow: maps of few pixels, and sides padded unequally.

The values are those of a plain convolution. Where something observes the layer (observers.py), the layer itself is
called instead: that is what exporters know, counters count and hooks see.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from convscale.layers import same_padding
from convscale.nn.observers import is_eager

Sides = tuple[int, int, int, int]  # left, right, top, bottom: the order of torch.nn.functional.pad


def sides_of(x: Tensor, kernel: int, stride: int, same: bool) -> Sides:
    """How x is padded: TensorFlow's SAME padding at x's own size, or kernel // 2 all around."""
    if same:
        top, bottom = same_padding(x.shape[-2], kernel, stride)
        left, right = same_padding(x.shape[-1], kernel, stride)
        return left, right, top, bottom
    half = kernel // 2
    return half, half, half, half


def split_padding(x: Tensor, sides: Sides, value: float) -> tuple[Tensor, tuple[int, int]]:
    """Symmetric sides are left to the layer, as (height, width) padding; others are padded here with `value`."""
    left, right, top, bottom = sides
    if left == right and top == bottom:
        return x, (top, left)
    return pad(x, sides, value), (0, 0)


def pad(x: Tensor, sides: Sides, value: float = 0.0) -> Tensor:
    """x with `value` around it."""
    if value == 0 and is_eager(x) and x.device.type == "cpu" and _is_own_mode():
        padded: Tensor = ZeroPad.apply(x, sides)  # type: ignore[no-untyped-call]
        return padded
    return F.pad(x, sides, value=value)


def _is_own_mode() -> bool:
    """Training or inference mode. Under `torch.no_grad()` memory lies as everybody else's does, and roundings agree."""
    return torch.is_grad_enabled() or torch.is_inference_mode_enabled()


class ZeroPad(torch.autograd.Function):
    """Zeros around (n, c, h, w), channels last. Each value is written once, and the gradient is a view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sides: Sides) -> Tensor:
        left, right, top, bottom = sides
        n, c, h, w = x.shape
        ctx.rows, ctx.columns = slice(top, top + h), slice(left, left + w)
        padded = x.new_empty(n, top + h + bottom, left + w + right, c).permute(0, 3, 1, 2)
        padded[:, :, ctx.rows, ctx.columns].copy_(x)
        for border in (padded[:, :, :top], padded[:, :, top + h :]):
            border.zero_()
        for border in (padded[:, :, ctx.rows, :left], padded[:, :, ctx.rows, left + w :]):
            border.zero_()
        return padded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][:, :, ctx.rows, ctx.columns], None


def own_padding(kernel: int, stride: int, same: bool) -> int:
    """What a convolution pads itself: nothing under SAME padding with a stride, which depends on the input's size."""
    return 0 if same and stride > 1 else kernel // 2


def convolve(conv: nn.Conv2d, x: Tensor, same: bool) -> Tensor:
    """`conv` of x, padded as `same` says: (n, c, h, w) -> (n, out, ceil(h / stride), ceil(w / stride))."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    sides = sides_of(x, kernel, stride, same and stride > 1)  # at stride 1 both paddings are k // 2
    weight = conv.weight
    if torch.is_grad_enabled():
        depthwise = conv.groups == conv.in_channels == conv.out_channels
        if max(x.shape[-2:]) <= stride and (depthwise or conv.groups == 1):
            return _to_one_pixel(conv, x, sides, depthwise)
        # Taps that only ever meet the padding: all but 2h - 1 rows and columns around the centre.
        unused = kernel // 2 + 1 - max(x.shape[-2:])
        if depthwise and stride == 1 and unused > 0:
            used = slice(unused, kernel - unused)
            weight = weight[:, :, used, used].contiguous()
            sides = sides_of(x, kernel - 2 * unused, 1, False)
    x, padding = split_padding(x, sides, 0.0)
    if stride > 1 and conv.groups == conv.in_channels > 1 and _is_bf16_training(x):
        strided: Tensor = StridedDepthwise.apply(x, weight, conv.bias, conv.stride, padding)  # type: ignore[no-untyped-call]
        return strided
    return F.conv2d(x, weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)


def _is_bf16_training(x: Tensor) -> bool:
    """Whether gradients are recorded while a CPU computes in bfloat16."""
    cast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.device.type == "cpu" and cast and torch.is_grad_enabled()


class StridedDepthwise(torch.autograd.Function):
    """A depthwise convolution with a stride, forward in bfloat16 and backward in float32: no CPU kernel computes these
    gradients fast in bfloat16. x (n, c, h, w), weight (c * m, 1, k, k); padding is (height, width)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, int]
    ) -> Tensor:
        ctx.dtype = x.dtype
        x, small = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        ctx.save_for_backward(x, small)
        ctx.bias_shape, ctx.stride, ctx.padding = None if bias is None else bias.shape, stride, padding
        rounded = None if bias is None else bias.to(torch.bfloat16)
        return F.conv2d(x, small, rounded, stride, padding, 1, x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
            grads[0].float(), x.float(), weight.float(), ctx.bias_shape, list(ctx.stride), list(ctx.padding), [1, 1],
            False, [0, 0], x.shape[1], list(ctx.needs_input_grad[:3]),
        )  # fmt: skip
        return None if of_x is None else of_x.to(ctx.dtype), of_weight, of_bias, None, None


def _to_one_pixel(conv: nn.Conv2d, x: Tensor, sides: Sides, depthwise: bool) -> Tensor:
    """A map that becomes a single pixel: a product with the taps that meet it. (n, c, h, w) -> (n, out, 1, 1)."""
    left, _, top, _ = sides
    x = x[:, :, : conv.kernel_size[0] - top, : conv.kernel_size[0] - left]  # what lies within the kernel
    weight = conv.weight[:, :, top : top + x.shape[-2], left : left + x.shape[-1]]
    if not depthwise:
        return F.linear(x.flatten(1), weight.flatten(1), conv.bias)[:, :, None, None]
    product = x * weight.squeeze(1)
    if product.shape[-2:] != (1, 1):
        product = product.sum((2, 3), keepdim=True)
    return product if conv.bias is None else product + conv.bias[:, None, None]
