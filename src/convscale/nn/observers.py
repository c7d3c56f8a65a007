"""Who sees the tensors inside a network besides the network itself: hooks, tracers, exporters, counters.

Shortcuts that skip a layer's own call, or write over its output, are taken only where nobody does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module


def is_eager(x: Tensor) -> bool:
    """Whether operations on x are computed at once and unobserved: x is not compiled, traced, exported or
    transformed by `torch.func`, and neither a dispatch mode nor a hook on all modules is there."""
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    return (
        type(x) is Tensor
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
        and not torch_module._has_any_global_hook()  # type: ignore[no-untyped-call]
    )


def is_seen(module: nn.Module | None) -> bool:
    """Whether anything but the caller may see what `module`, a layer of PyTorch's, is given or gives back: hooks, parts
    that it is made of, or a `forward` that was put in the place of its own."""
    return module is not None and (has_hooks(module) or bool(module._modules))


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of `module` calls something else too."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )
