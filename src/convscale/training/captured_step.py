"""A step as one CUDA graph: a small network's hundreds of kernel launches cost more than its arithmetic.

Nothing in a captured step waits for the device. Whether loss, gradients and statistics are finite is decided there: a
step that is not finite changes nothing, and neither does any after it until `CapturedStep.clear`. The host reads the
outcome of a step while the next one runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from convscale.recipes import SGD, AdamW, Recipe, RMSProp
from convscale.training.ema import EMA, ema_decay
from convscale.training.state import TrainingState

WARM_UP_RUNS = 3  # libraries choose their algorithms and workspaces, which must not happen while a graph is captured


class Found(NamedTuple):
    """What the host learns about a step, one step late. `finite` is false from the first step on that was not."""

    loss: float
    gradient_norm: float
    finite: bool


class CapturedStep:
    """The step on batches of one shape: static inputs, a graph of everything between them and the updated weights.

    gradients: leaves the gradients of the mean loss of (pixels, targets) in the parameters; that loss. On a CPU, where
    there are no graphs, the same work is done directly.
    """

    def __init__(
        self,
        state: TrainingState,
        recipe: Recipe,
        gradients: Callable[[Tensor, Tensor], Tensor],
        pixels: Tensor,
        targets: Tensor,
    ) -> None:
        self.state, self.recipe, self.gradients = state, recipe, gradients
        device = pixels.device
        self.pixels, self.targets = torch.empty_like(pixels).copy_(pixels), torch.empty_like(targets).copy_(targets)
        self.trainable = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        self.statistics = _as_one([buffer for buffer in state.model.buffers() if buffer.is_floating_point()])
        self.rates = [torch.zeros((), device=device) for _ in state.optimizer.param_groups]
        self.new_share = torch.zeros((), device=device)  # of the weights in their moving average
        self.failed = torch.ones((), device=device)  # while warming up: nothing is changed
        self.found = torch.zeros(3, device=device)
        self._kept = [torch.zeros(3, pin_memory=device.type == "cuda") for _ in range(2)]
        self._events = [torch.cuda.Event() for _ in range(2)] if device.type == "cuda" else []  # type: ignore[no-untyped-call]
        self._turn = 0
        for group, rate in zip(state.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
            if "capturable" in group:
                group["capturable"] = device.type == "cuda"
        state.optimizer.found_inf, state.optimizer.grad_scale = self.failed, None  # type: ignore[attr-defined]
        _begin_momentum(state.optimizer)
        self._graph = self._capture() if device.type == "cuda" else None
        self.clear()

    def clear(self) -> None:
        """Let steps take effect again, after one was not finite."""
        self.failed.zero_()

    def launch(self, pixels: Tensor, targets: Tensor, rates: list[float], update: int) -> None:
        """Start the step; `update` is its number, from 1. `read` says what came of it."""
        self.pixels.copy_(pixels, non_blocking=True)
        self.targets.copy_(targets, non_blocking=True)
        for tensor, rate in zip(self.rates, rates, strict=True):
            tensor.fill_(rate)
        if self.state.ema is not None:
            self.new_share.fill_(1 - ema_decay(update, self.state.ema.decay))
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()
        self._turn = 1 - self._turn
        self._kept[self._turn].copy_(self.found, non_blocking=True)
        if self._events:
            self._events[self._turn].record()

    def read(self, steps_ago: int = 0) -> Found:
        """The outcome of the last step, or of the one before it; waits for that one alone."""
        turn = self._turn if steps_ago == 0 else 1 - self._turn
        if self._events:
            self._events[turn].synchronize()
        loss, norm, failed = self._kept[turn].tolist()
        return Found(loss, norm, not failed)

    def release(self) -> None:
        """Give the optimizer back to steps that are not captured."""
        self.state.optimizer.found_inf = None  # type: ignore[attr-defined]

    def _capture(self) -> torch.cuda.CUDAGraph:
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP_RUNS):
                self._work()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._work()
        return graph

    def _work(self) -> None:
        before = self.statistics.clone()
        self.state.optimizer.zero_grad(set_to_none=True)
        loss = self.gradients(self.pixels, self.targets)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.trainable if p.grad is not None])
        finite = loss.isfinite() & norm.isfinite() & self.statistics.isfinite().all()
        self.failed.copy_(torch.maximum(self.failed, (~finite).float()))
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grads_with_norm_(self.trainable, self.recipe.gradient_clip, norm)
        self.state.optimizer.step()
        self.statistics.copy_(torch.where(self.failed > 0, before, self.statistics))
        if self.state.ema is not None:
            self._average(self.state.ema)
        self.found.copy_(torch.stack([loss.float(), norm, self.failed]))

    @torch.no_grad()
    def _average(self, ema: EMA) -> None:
        share = self.new_share * (1 - self.failed)
        torch._foreach_lerp_(ema.averages, ema.values, [share] * len(ema.values))


def can_capture(recipe: Recipe, device: torch.device, world: int) -> bool:
    """Whether steps of this recipe are captured: by one process with a GPU, a batch at once, and an optimizer that can
    leave a step out on the device."""
    kept = isinstance(recipe.optimizer, SGD | AdamW | RMSProp)
    return device.type == "cuda" and world == 1 and kept


def _as_one(tensors: list[Tensor]) -> Tensor:
    """A tensor of which all of `tensors`, which stay what they are to their modules, become views."""
    one = torch.cat([tensor.flatten() for tensor in tensors]) if tensors else torch.zeros(0)
    start = 0
    for tensor in tensors:
        tensor.data = one[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return one


def _begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """SGD's momentum begins at 0, before the first step: what that one finds is captured."""
    for group in optimizer.param_groups:
        if isinstance(optimizer, torch.optim.SGD) and group["momentum"]:
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
