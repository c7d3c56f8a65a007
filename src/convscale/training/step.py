"""One step: forward, backward, clip, check, update, average; in parts where memory asks for it."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from convscale.data.loader import Batch, Normalise
from convscale.data.mixing import mix
from convscale.data.randomness import Purpose, keyed
from convscale.nn import autocast
from convscale.nn.processes import Processes
from convscale.training.job import Job
from convscale.training.memory import is_out_of_memory, recover, smaller_parts
from convscale.training.optimizer import learning_rate
from convscale.training.state import TrainingState, seed_step


class Outcome(NamedTuple):
    """What a step came to. `applied` is false where loss or gradients were not finite: nothing was changed then."""

    loss: float
    gradient_norm: float
    learning_rate: float
    applied: bool
    seconds: dict[str, float]


def training_loss(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Mean cross entropy of logits (n, classes) with labels (n,) or soft targets (n, classes)."""
    return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)


def data_parallel(model: nn.Module) -> DistributedDataParallel:
    """`model` with its gradients averaged over all processes. BN statistics are the same in all already."""
    known = inspect.signature(DistributedDataParallel).parameters
    forward_buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # PyTorch 2.13
    options: dict[str, Any] = {forward_buffers: False}
    return DistributedDataParallel(model, **options)


def keep_strides(parameters: Iterable[nn.Parameter]) -> list[RemovableHandle]:
    """Have gradients laid out as DDP compares them; what takes that back."""
    return [
        parameter.register_hook(partial(_with_strides, strides=parameter.stride()))  # type: ignore[no-untyped-call]
        for parameter in parameters
    ]


def _with_strides(gradient: Tensor, strides: tuple[int, ...]) -> Tensor:
    """The gradient with its parameter's strides, where they differ along axes of length 1 only: DDP compares them."""
    pairs = zip(gradient.shape, gradient.stride(), strides, strict=True)
    if all(size == 1 or mine == wanted for size, mine, wanted in pairs):
        return gradient.as_strided(gradient.shape, strides)
    return gradient


class Stepper:
    """Takes steps on a state; `forward` is its model, compiled or data-parallel or both. Close it before another one
    takes steps on the same state."""

    def __init__(self, job: Job, state: TrainingState, steps_per_epoch: int, processes: Processes) -> None:
        self.recipe, self.network, self.state, self.processes = job.recipe, job.network, state, processes
        self.classes = len(job.dataset.classes)
        self.steps_per_epoch = steps_per_epoch
        self.device = next(state.model.parameters()).device
        self.normalise = Normalise(job.preprocessing, self.device)
        self.precise_times = job.settings.step_times and self.device.type == "cuda"
        self.trainable = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        self.parallel = data_parallel(state.model) if processes.world > 1 else None
        self.hooks = keep_strides(self.trainable) if self.parallel is not None else []
        self.forward: nn.Module = self.parallel or state.model
        if job.settings.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.statistics = [buffer for buffer in state.model.buffers() if buffer.is_floating_point()]
        self.seconds: dict[str, float] = {}

    def close(self) -> None:
        """Leave the parameters as they were."""
        for hook in self.hooks:
            hook.remove()

    def take(self, batch: Batch) -> Outcome:
        """The step at the state's position, on this process's part of its batch."""
        position, recipe, state = self.state.position, self.recipe, self.state
        self.seconds = dict.fromkeys(("forward", "backward", "optimizer"), 0.0)
        rate = learning_rate(recipe, position.epoch + position.step / self.steps_per_epoch)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        statistics = [buffer.clone() for buffer in self.statistics]
        started = time.perf_counter()
        pixels, targets = self._inputs(batch)
        self._spent("forward", started)
        loss = self._gradients(pixels, targets, statistics)
        started = time.perf_counter()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.trainable if p.grad is not None])
        loss_value, norm_value = self.processes.mean(float(loss), len(pixels)), float(norm)
        finite = math.isfinite(loss_value) and math.isfinite(norm_value) and self._statistics_are_finite()
        if finite:
            if recipe.gradient_clip:
                torch.nn.utils.clip_grads_with_norm_(self.trainable, recipe.gradient_clip, norm)
            state.optimizer.step()
            if state.ema is not None:
                state.ema.update(position.total_steps + 1)
        else:
            self._put_back(statistics)
        self._spent("optimizer", started)
        return Outcome(loss_value, norm_value, rate, finite, self.seconds)

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised images on the device, and labels or, mixed, soft targets."""
        position, augmentation = self.state.position, self.recipe.augmentation
        pixels, labels = self.normalise(batch.pixels), batch.labels.to(self.device, non_blocking=True)
        if not augmentation.mixup and not augmentation.cutmix:
            return pixels, labels
        generator = keyed(Purpose.MIX, position.seed, position.epoch, position.step, self.processes.rank)
        return mix(pixels, labels, self.classes, augmentation.mixup, augmentation.cutmix, generator)

    def _gradients(self, pixels: Tensor, targets: Tensor, statistics: list[Tensor]) -> Tensor:
        """Leave the gradients of the mean loss over the batch; that loss. Out of memory, the batch is computed in
        twice as many parts, from now on."""
        while True:
            self.state.optimizer.zero_grad(set_to_none=True)
            try:
                return self._forward_backward(pixels, targets)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = str(error)
            recover(message)
            position = self.state.position
            position.accumulation = smaller_parts(
                self.network, self.recipe, position.accumulation, self.processes.world
            )
            self._put_back(statistics)

    def _forward_backward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        position = self.state.position
        parts = min(position.accumulation, max(1, len(pixels) // 2))
        total = torch.zeros((), device=self.device)
        for index, (images, wanted) in enumerate(
            zip(pixels.tensor_split(parts), targets.tensor_split(parts), strict=True)
        ):
            seed_step(position.seed, position.total_steps, self.processes.rank, index)
            with self._exchange(last=index == parts - 1):
                started = time.perf_counter()
                with autocast(self.device, self.recipe.precision):
                    logits = self.forward(images)
                    loss = training_loss(logits, wanted, self.recipe.label_smoothing) * (len(images) / len(pixels))
                started = self._spent("forward", started)
                loss.backward()  # type: ignore[no-untyped-call]
                self._spent("backward", started)
            total += loss.detach()
        return total

    def _exchange(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients travel between processes after the last part of a batch only."""
        return nullcontext() if last or self.parallel is None else self.parallel.no_sync()

    def _statistics_are_finite(self) -> bool:
        """BN's variances overflow before the loss does."""
        here = not self.statistics or bool(torch.nn.utils.get_total_norm(self.statistics).isfinite())
        return here if self.processes.world == 1 else not self.processes.any(not here)

    @torch.no_grad()
    def _put_back(self, statistics: list[Tensor]) -> None:
        """BN statistics as they were: a step that does not count leaves nothing behind."""
        for buffer, before in zip(self.statistics, statistics, strict=True):
            buffer.copy_(before)

    def _spent(self, part: str, started: float) -> float:
        """Count the time since `started` to a part of the step; the time now."""
        if self.precise_times:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[part] += now - started
        return now
