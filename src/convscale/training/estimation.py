"""The time, memory and disk that a training will take, estimated from a few measured steps."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch

from convscale.data import Dataset
from convscale.data.images import steps_per_epoch
from convscale.data.loader import Batch, Normalise, evaluation_batches, training_batches
from convscale.evaluation.feature_extraction import extract
from convscale.networks import ConvNet
from convscale.nn import Lowered, Model, lower, pick_device
from convscale.nn.processes import Processes
from convscale.recipes import LBFGS, Recipe
from convscale.records.estimates import MEASURED_STEPS, Estimate
from convscale.runs import Run, Settings
from convscale.training.checkpoint import free_bytes
from convscale.training.job import Job
from convscale.training.memory import available_bytes, fitting_images, training_bytes
from convscale.training.phases import set_learning
from convscale.training.setup import disk_bytes, make_job, make_state
from convscale.training.state import TrainingState
from convscale.training.step import Stepper

WARM_UP_STEPS, MEASURED_BATCHES = 3, 3
EXTRACTED_BATCHES = 16


def estimate(network: ConvNet, data: Dataset, recipe: Recipe, output: Path | None = None, **settings: Any) -> Estimate:
    """Take a few real steps, write nothing, and estimate what `train` with the same arguments would take."""
    recipe = recipe.for_images(len(data.train))
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(network, data, recipe, Run(Path(folder)), Settings(**settings), quiet=True)
        state = make_state(job, Processes())
        per_epoch = steps_per_epoch(job.train, recipe.batch)
        if isinstance(recipe.optimizer, LBFGS):
            step = _extraction_seconds(job, state.model)
            evaluation = len(job.watched) / recipe.batch * step
        else:
            step = _step_seconds(job, state, per_epoch)
            evaluation = _evaluation_seconds(job, state.evaluated)
    steps = per_epoch * recipe.epochs
    seconds = steps * step + (recipe.epochs if job.evaluates_each_epoch else 1) * evaluation
    if job.validation is not None:
        seconds += evaluation * len(data.test) / len(job.validation)
    further = 0.0
    if not isinstance(recipe.optimizer, LBFGS):  # whose search costs next to nothing
        search = recipe.search
        evaluations = recipe.epochs * search.epochs_share if recipe.patience else 1
        trained = steps * search.epochs_share * (1 - search.share)
        choice = trained * step + evaluations * evaluation
        seconds += len(recipe.choices()) * choice
        further = search.further_rates * max(1, len(search.weight_decays)) * choice
    available = available_bytes(pick_device())
    return Estimate(
        steps=steps,
        steps_per_epoch=per_epoch,
        batch=recipe.batch,
        accumulation=state.position.accumulation,
        step_seconds=step,
        evaluation_seconds=evaluation,
        seconds=seconds,
        memory_bytes=training_bytes(job.network, -(-recipe.batch // state.position.accumulation)),
        available_bytes=available,
        fitting_batch=None if available is None else fitting_images(job.network, available),
        disk_bytes=disk_bytes(job),
        free_disk_bytes=free_bytes((output or Path()).absolute()),
        further_seconds=further,
    )


def step_seconds(network: ConvNet, data: Dataset, recipe: Recipe) -> float:
    """Seconds of a training step, measured over a few real ones; writes nothing."""
    recipe = recipe.for_images(len(data.train))
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(network, data, recipe, Run(Path(folder)), Settings(), quiet=True)
        return _step_seconds(job, make_state(job, Processes()), steps_per_epoch(job.train, recipe.batch))


def _step_seconds(job: Job, state: TrainingState, per_epoch: int) -> float:
    """Of a step: the mean over the phases, the median of a few in each."""
    alone = min(job.recipe.head_epochs, job.recipe.epochs)
    phases = [(epoch, epochs) for epoch, epochs in ((0, alone), (alone, job.recipe.epochs - alone)) if epochs]
    seconds = 0.0
    for epoch, epochs in phases:
        set_learning(state.model, job.recipe, epoch)
        stepper = Stepper(job, state, per_epoch, Processes())
        seconds += epochs * _median_seconds(job, stepper)
        stepper.close()
    return seconds / job.recipe.epochs


def _median_seconds(job: Job, stepper: Stepper) -> float:
    """Of a step of one phase, its batch included."""
    seconds = []
    with closing(_endless(job, stepper.state.position.seed)) as batches:
        for _ in range(WARM_UP_STEPS + MEASURED_STEPS):
            started = time.perf_counter()
            stepper.take(next(batches))
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[WARM_UP_STEPS:])


def _extraction_seconds(job: Job, model: Model) -> float:
    """Of computing the features of a batch, from those of the first images."""
    started, images = time.perf_counter(), 0
    with closing(
        extract(model, Lowered.classified, job.train, job.preprocessing, workers=job.settings.workers)
    ) as parts:
        for part in islice(parts, EXTRACTED_BATCHES):
            images += len(part.labels)
    return (time.perf_counter() - started) * job.recipe.batch / max(images, 1)


def _endless(job: Job, seed: int) -> Generator[Batch, None, None]:
    recipe = job.recipe
    for epoch in count():
        loading = training_batches(
            job.train, job.preprocessing, recipe.augmentation, recipe.batch, seed=seed, epoch=epoch,
            workers=job.settings.workers, sampling=recipe.sampling,
        )  # fmt: skip
        with closing(loading) as batches:
            yield from batches


@torch.inference_mode()
def _evaluation_seconds(job: Job, model: Model) -> float:
    """Of what follows each epoch, from the first few batches."""
    network, normalise = lower(model), Normalise(job.preprocessing, next(model.parameters()).device)
    batch = max(64, job.recipe.batch)
    started, images = time.perf_counter(), 0
    with closing(evaluation_batches(job.watched, job.preprocessing, batch, job.settings.workers)) as batches:
        for loaded in islice(batches, MEASURED_BATCHES):
            network(normalise(loaded.pixels)).sum().item()
            images += len(loaded.pixels)
    return (time.perf_counter() - started) * len(job.watched) / max(images, 1)
