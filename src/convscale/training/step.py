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
from convscale.training.captured_step import CapturedStep, can_capture
from convscale.training.job import Job
from convscale.training.memory import is_out_of_memory, recover, smaller_parts
from convscale.training.optimizer import learning_rate
from convscale.training.state import TrainingState, seed_step


class Outcome(NamedTuple):
    """What step number `step`, from 0, came to. `applied` is false where loss or gradients were not finite: nothing was
    changed then, nor by the steps begun since."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    applied: bool
    seconds: dict[str, float]


def training_loss(
    logits: Tensor, targets: Tensor, label_smoothing: float, class_weights: Tensor | None = None
) -> Tensor:
    """Mean cross entropy of logits (n, classes) with labels (n,) or soft targets (n, classes).

    class_weights, (classes,), multiply the targets; smoothing then spreads its share of each image's weight over all
    classes. The mean is over images whatever they weigh, so that parts of a batch add up to it.
    """
    if class_weights is None:
        return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
    soft = targets
    if targets.ndim == 1:
        soft = torch.zeros_like(logits, dtype=torch.float32).scatter_(1, targets[:, None], 1.0)
    weighted = soft * class_weights
    spread = weighted.sum(1, keepdim=True) / len(class_weights)
    return F.cross_entropy(logits.float(), (1 - label_smoothing) * weighted + label_smoothing * spread)


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
        weights = job.class_weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).to(self.device)
        self.normalise = Normalise(job.preprocessing, self.device)
        self.precise_times = job.settings.step_times and self.device.type == "cuda"
        self.trainable = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        self.parallel = data_parallel(state.model) if processes.world > 1 else None
        self.hooks = keep_strides(self.trainable) if self.parallel is not None else []
        self.forward: nn.Module = self.parallel or state.model
        if job.settings.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.statistics = [buffer for buffer in state.model.buffers() if buffer.is_floating_point()]
        self.statistics_before = [torch.empty_like(buffer) for buffer in self.statistics]
        self.seconds = dict.fromkeys(("forward", "backward", "optimizer"), 0.0)
        self.captures = can_capture(job.recipe, self.device, processes.world) and not self.precise_times
        self.captured: CapturedStep | None = None
        self.begun: Outcome | None = None  # a captured step that nobody has waited for yet
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True

    def close(self) -> None:
        """Leave parameters and optimizer as they were."""
        self.forget()
        for hook in self.hooks:
            hook.remove()

    def take(self, batch: Batch) -> Outcome | None:
        """The step at the state's position, on this process's part of its batch, and what it came to. A captured step
        runs beside the caller; the outcome of the one before it, None where that is known."""
        if not self.captures or self.state.position.accumulation > 1:
            return self._take(batch)
        pixels, targets = self._inputs(batch)
        if self.captured is None and not self._capture(pixels, targets):
            return self._take(batch)
        assert self.captured is not None
        return self._launch(self.captured, pixels, targets)

    def settle(self) -> Outcome | None:
        """Wait for the step in flight, if there is one; its outcome."""
        return self._read(0)

    def forget(self) -> None:
        """Other tensors took the places of the state's: what was captured is of those before."""
        if self.captured is not None:
            self.captured.release()
        self.captured = self.begun = None

    def _capture(self, pixels: Tensor, targets: Tensor) -> bool:
        """Whether the memory holds a captured step; if not, steps are taken in parts, and not captured."""
        try:
            self.captured = CapturedStep(self.state, self.recipe, self._loss_and_gradients, pixels, targets)
            return True
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = str(error)
        recover(message)
        self.captures = False
        return False

    def _launch(self, captured: CapturedStep, pixels: Tensor, targets: Tensor) -> Outcome | None:
        started, position = time.perf_counter(), self.state.position
        rate = learning_rate(self.recipe, position.epoch + position.step / self.steps_per_epoch)
        rates = [rate * group["rate_share"] for group in self.state.optimizer.param_groups]
        seed_step(position.seed, position.total_steps, self.processes.rank, 0)
        captured.launch(pixels, targets, rates, position.total_steps + 1)
        before = self._read(1)
        if before is None or before.applied:
            seconds = {"forward": 0.0, "backward": 0.0, "optimizer": time.perf_counter() - started}
            self.begun = Outcome(position.total_steps, 0.0, 0.0, rate, True, seconds)
        return before

    def _read(self, steps_ago: int) -> Outcome | None:
        """The outcome of the step in flight, the last launched or the one before it."""
        begun, self.begun = self.begun, None
        if begun is None or self.captured is None:
            return None
        found = self.captured.read(steps_ago)
        if not found.finite:
            self.captured.clear()
        return begun._replace(loss=found.loss, gradient_norm=found.gradient_norm, applied=found.finite)

    def _take(self, batch: Batch) -> Outcome:
        position, recipe, state = self.state.position, self.recipe, self.state
        self.seconds = dict.fromkeys(("forward", "backward", "optimizer"), 0.0)
        rate = learning_rate(recipe, position.epoch + position.step / self.steps_per_epoch)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        statistics = self._statistics_now()
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
        return Outcome(position.total_steps, loss_value, norm_value, rate, finite, self.seconds)

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
                total += self._loss_and_gradients(images, wanted, len(images) / len(pixels))
        return total

    def _loss_and_gradients(self, images: Tensor, targets: Tensor, share: float = 1.0) -> Tensor:
        """Add to the gradients those of the mean loss times `share`; that loss."""
        started = time.perf_counter()
        with autocast(self.device, self.recipe.precision):
            logits = self.forward(images)
            loss = training_loss(logits, targets, self.recipe.label_smoothing, self.class_weights) * share
        started = self._spent("forward", started)
        loss.backward()  # type: ignore[no-untyped-call]
        self._spent("backward", started)
        return loss.detach()

    def _exchange(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients travel between processes after the last part of a batch only."""
        return nullcontext() if last or self.parallel is None else self.parallel.no_sync()

    def _statistics_are_finite(self) -> bool:
        """BN's variances overflow before the loss does."""
        here = not self.statistics or bool(torch.nn.utils.get_total_norm(self.statistics).isfinite())
        return here if self.processes.world == 1 else not self.processes.any(not here)

    def _statistics_now(self) -> list[Tensor]:
        """Copies of BN's statistics, in tensors that every step uses again."""
        if self.statistics:
            torch._foreach_copy_(self.statistics_before, self.statistics)
        return self.statistics_before

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
