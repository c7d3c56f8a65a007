"""Batch norm and activation folded into convolutions: the same function in fewer passes over memory, for inference."""

from __future__ import annotations

import copy
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from convscale.nn.convolution import sides_of, split_padding
from convscale.nn.layers import ConvNormAct
from convscale.nn.model import Model
from convscale.nn.observers import is_eager, is_seen

# What oneDNN applies to a convolution's outputs while it writes them: its names, their parameters and their variants.
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

_BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)  # ours over processes is one of the first kind


def folded(model: Model, dtype: torch.dtype = torch.float32) -> Model:
    """A copy of `model` in eval mode whose convolutions scale and shift as the batch norms behind them did; on a CPU
    they apply the activation too.

    Its outputs differ by rounding alone, about 1e-6 of their size; it cannot be trained or stored. Other norms, batch
    norms without statistics, and layers that anybody has a hook on stay as they are. With `dtype` bfloat16 all weights
    are rounded to that once they are folded; inputs have to be of it, and outputs are.
    """
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    convolutions = [(parent, name, child) for parent in copied.modules() for name, child in parent.named_children()]
    for _, _, child in convolutions:
        if _is_free(child):
            _fold(child)
    if dtype != torch.float32:
        copied.to(dtype)
    for parent, name, child in convolutions:
        if _is_free(child) and child.norm is None and _has_onednn(child.conv.weight):
            setattr(parent, name, _FusedConvAct(child))
    return copied


def _is_free(module: nn.Module) -> TypeGuard[ConvNormAct]:
    return isinstance(module, ConvNormAct) and type(module.conv) is nn.Conv2d and not module.is_seen()


def _fold(module: ConvNormAct) -> None:
    if isinstance(module.norm, _BATCH_NORMS) and module.norm.running_mean is not None:
        module.conv = fuse_conv_bn_eval(module.conv, module.norm)
        module.norm = None


def _has_onednn(weight: Tensor) -> bool:
    """Whether PyTorch has the convolution that its compiler emits for CPUs; it is no public function."""
    usable = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if weight.dtype == torch.bfloat16:
        usable = usable and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    elif weight.dtype != torch.float32:
        return False
    return usable and bool(torch.backends.mkldnn.enabled) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class _FusedConvAct(ConvNormAct):
    """A convolution whose outputs are activated while they are written, where nobody looks between the two."""

    def __init__(self, module: ConvNormAct) -> None:
        nn.Module.__init__(self)
        self.conv, self.norm, self.same, self.activation = module.conv, None, module.same, module.activation
        self.kernel, self.stride = module.kernel, module.stride
        self.post_op = _POST_OPS[module.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))."""
        conv = self.conv
        if is_seen(conv) or not is_eager(x):
            return super().forward(x)
        sides = sides_of(x, self.kernel, self.stride, self.same and self.stride > 1)
        x, padding = split_padding(x, sides, 0.0)
        convolve: Any = torch.ops.mkldnn._convolution_pointwise
        written: Tensor = convolve(
            x, conv.weight, conv.bias, list(padding), list(conv.stride), list(conv.dilation), conv.groups,
            *self.post_op,
        )  # fmt: skip
        return written
