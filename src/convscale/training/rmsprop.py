"""RMSProp as TensorFlow computes it, in three ways unlike PyTorch's.

tf.train.RMSPropOptimizer (the reference's utils.build_optimizer, decay 0.9, momentum 0.9, epsilon 1e-3):

    mean_square <- decay * mean_square + (1 - decay) * gradient^2        starting at 1, not 0
    momentum    <- momentum * momentum + rate * gradient / sqrt(mean_square + eps)    eps inside the root, the
    weight      <- weight - momentum                                     rate inside the momentum

So the first steps are small, and a falling rate leaves the momentum gathered at the higher rate as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class TensorFlowRMSProp(torch.optim.Optimizer):
    """RMSProp with momentum and L2 weight decay; the state of a parameter is `mean_square` and `momentum`.

    As in PyTorch's fused optimizers, a tensor `found_inf` of 1 leaves a step out on the device; rates are tensors then.
    """

    found_inf: Tensor | None = None

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, decay: float, momentum: float, eps: float) -> None:
        super().__init__(params, {"lr": lr, "decay": decay, "momentum": momentum, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            weights: list[Tensor] = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight] = {"mean_square": torch.ones_like(weight), "momentum": torch.zeros_like(weight)}
            mean_squares = [self.state[weight]["mean_square"] for weight in weights]
            momenta = [self.state[weight]["momentum"] for weight in weights]
            gradients: Any = [weight.grad for weight in weights]
            if self.found_inf is not None:
                self._step_unless(self.found_inf, group, weights, gradients, mean_squares, momenta)
                continue
            if group["weight_decay"]:
                gradients = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
            torch._foreach_mul_(mean_squares, group["decay"])
            torch._foreach_addcmul_(mean_squares, gradients, gradients, 1 - group["decay"])
            roots = torch._foreach_add(mean_squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_addcdiv_(momenta, gradients, roots, group["lr"])
            torch._foreach_sub_(weights, momenta)

    def _step_unless(
        self,
        failed: Tensor,
        group: dict[str, Any],
        weights: list[Tensor],
        gradients: list[Tensor],
        mean_squares: list[Tensor],
        momenta: list[Tensor],
    ) -> None:
        """The same update where `failed` is 0; none where it is 1, whatever the gradients are."""
        counts = 1 - failed
        gradients = [torch.nan_to_num(gradient) for gradient in gradients]
        if group["weight_decay"]:
            torch._foreach_add_(gradients, weights, alpha=group["weight_decay"])
        torch._foreach_mul_(gradients, counts)
        squares = torch._foreach_mul(gradients, gradients)
        torch._foreach_mul_(squares, 1 - group["decay"])
        torch._foreach_mul_(mean_squares, 1 - (1 - group["decay"]) * counts)
        torch._foreach_add_(mean_squares, squares)
        roots = torch._foreach_add(mean_squares, group["eps"])
        torch._foreach_sqrt_(roots)
        steps = torch._foreach_div(gradients, roots)
        torch._foreach_mul_(steps, group["lr"])
        torch._foreach_mul_(momenta, 1 - (1 - group["momentum"]) * counts)
        torch._foreach_add_(momenta, steps)
        torch._foreach_sub_(weights, torch._foreach_mul(momenta, counts))
