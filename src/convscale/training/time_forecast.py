"""The total time of a training, estimated from the first steps of each of its phases and from an evaluation."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from convscale.nn import Model, lower
from convscale.training.job import Job
from convscale.training.phases import is_classifier_alone
from convscale.training.state import TrainingState
from convscale.units import format_seconds

FORECAST_AFTER_STEPS = 12
SLOW_STEPS = 2  # the first ones
FULL_STEP = 3  # times one of the classifier alone, which is a forward pass: a backward pass costs two of them
IMAGES_EVALUATED = 64


class Forecast:
    """The seconds that steps, waiting for their batches, and evaluations take, and the whole training by them. A phase
    ends where other parts of the network begin to learn."""

    def __init__(self, job: Job, state: TrainingState, steps_per_epoch: int, world: int) -> None:
        self.job, self.state, self.steps_per_epoch, self.world = job, state, steps_per_epoch, world
        self.phase = self.begun = 0
        self.steps: list[float] = []
        self.waits: list[float] = []
        self.evaluation_seconds = 0.0  # per image, in all processes together

    @property
    def is_made(self) -> bool:
        """Whether the time is forecast by this phase already."""
        return self.state.position.forecast_phases >= self.phase

    def begin_epoch(self) -> bool:
        """Start measuring again where a phase begins; whether one does."""
        position = self.state.position
        phase = 1 if is_classifier_alone(self.job.recipe, position.epoch) else 2
        if phase == self.phase:
            return False
        self.phase, self.begun = phase, position.total_steps
        self.steps, self.waits = [], []
        return True

    def add_step(self, seconds: float) -> None:
        """Count the time of a step."""
        if not self.is_made:
            self.steps.append(seconds)

    def add_wait(self, seconds: float) -> None:
        """Count the time spent waiting for a batch."""
        if not self.is_made:
            self.waits.append(seconds)

    def add_evaluation(self, images: int, seconds: float) -> None:
        """Count the time of an evaluation of `images` images."""
        self.evaluation_seconds = seconds / max(images, 1)

    @property
    def is_due(self) -> bool:
        """Whether enough steps of the phase are done, and any are left."""
        position = self.state.position
        done = position.total_steps - self.begun
        return not self.is_made and bool(self.steps) and done >= self._steps_wanted and self._steps_left > 0

    def make(self, pixels: Tensor, save_seconds: float) -> str:
        """Forecast the time of the whole training; what it is, in words. `pixels` (n, channels, h, w) of training
        images, normalised, tell what an evaluation takes where none has been."""
        position = self.state.position
        if not self.job.evaluates_each_epoch:  # a single one is not worth measuring
            self.evaluation_seconds = self._step_seconds / FULL_STEP / self.job.recipe.batch
        elif not self.evaluation_seconds:
            seconds, images = forward_seconds(self.state.evaluated, pixels)
            waited = statistics.median(self.waits) / self.job.recipe.batch
            self.evaluation_seconds = seconds / images / self.world + waited
        position.forecast_phases = self.phase
        position.predicted_seconds = position.run_seconds + self._seconds_left(save_seconds)
        which = " of the classifier alone; estimated again when all layers train" if self._thaws else ""
        total = format_seconds(position.predicted_seconds)
        return f"estimated total {total} (from the first {self._steps_wanted} steps{which})"

    @property
    def _steps_left(self) -> int:
        return self.steps_per_epoch * self.job.recipe.epochs - self.state.position.total_steps

    @property
    def _step_seconds(self) -> float:
        return statistics.median(self.steps[SLOW_STEPS:] or self.steps)

    @property
    def _thaws(self) -> bool:
        """Whether another phase follows."""
        recipe = self.job.recipe
        return self.phase == 1 and recipe.trainable == "all" and recipe.head_epochs < recipe.epochs

    @property
    def _steps_wanted(self) -> int:
        """To forecast by: those that the phase has left where it was begun, if they are few."""
        recipe = self.job.recipe
        last = recipe.head_epochs if self._thaws else recipe.epochs
        return min(FORECAST_AFTER_STEPS, self.steps_per_epoch * last - self.begun)

    def _seconds_left(self, save_seconds: float) -> float:
        """Of the steps, and of what epochs end with: an evaluation and a checkpoint."""
        job, position = self.job, self.state.position
        left, epochs = self._steps_left, job.recipe.epochs - position.epoch
        later = self.steps_per_epoch * (job.recipe.epochs - job.recipe.head_epochs) if self._thaws else 0
        step = self._step_seconds
        evaluations = epochs if job.evaluates_each_epoch else 1
        images = evaluations * len(job.watched) + (0 if job.validation is None else len(job.dataset.test))
        ends = images * self.evaluation_seconds + epochs * save_seconds
        return (left + (FULL_STEP - 1) * later) * step + left * statistics.median(self.waits) + ends


@torch.inference_mode()
def forward_seconds(model: Model, pixels: Tensor) -> tuple[float, int]:
    """What the evaluation of some of `pixels` takes once they are there, and how many they were."""
    network, pixels = lower(model), pixels[:IMAGES_EVALUATED]
    started = 0.0
    for _ in range(2):  # the first one is slow
        started = time.perf_counter()
        network(pixels).sum().item()
    return time.perf_counter() - started, len(pixels)
