"""resuming: checks that a run continues with what it began with, and reports what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from convscale.data import Dataset, open_dataset
from convscale.errors import ConfigError, DataError, RunError
from convscale.formats import read_kept
from convscale.networks import ConvNet
from convscale.nn import pick_device
from convscale.nn.processes import Processes
from convscale.progress import print_note
from convscale.recipes import Recipe
from convscale.runs import Run
from convscale.training.checkpoint import Checkpoint
from convscale.training.job import Job
from convscale.training.state import TrainingState


def same_data(run: Run, data: Dataset | str | Path | None) -> Dataset:
    """The run's data, opened as it was. Raises DataError where it is not the same any more."""
    record = run.data()
    if record is None:
        raise RunError(f"{run.path}: data.json is missing", hint="train again")
    source = record.source if data is None else data
    if isinstance(source, Dataset):
        dataset = source
    else:
        try:
            dataset = open_dataset(
                source, seed=record.seed, label_column=record.label_column, exclude=run.excluded_images(),
                layout=record.layout,
            )  # fmt: skip
        except DataError as error:
            hint = f"where is it now? convscale resume {run.path} --data NEW"
            raise DataError(error.message, hint=hint if data is None else error.hint) from None
    if not record.validation_images:
        dataset = replace(dataset, validation=None)  # begun when a validation split beside a test split was left out
    found = dataset.record()
    if found.fingerprint != record.fingerprint:
        raise DataError(
            f"{found.source}: not the data that {run.path} was trained on: {found.train_images:,} and "
            f"{found.test_images:,} images, {record.train_images:,} and {record.test_images:,} when it began, or other "
            "names, labels or classes: the run cannot be resumed",
            hint="restore the data, or train again",
        )
    return dataset


def changes_since(job: Job, found: Checkpoint | None) -> list[str]:
    """What is unlike it was when the checkpoint was written.

    Raises ConfigError for what cannot change once a run has begun, RunError where the checkpoints are gone.
    """
    if found is None:
        if job.run.metrics():
            raise RunError(f"{job.run.checkpoints}: no checkpoint, although epochs were trained", hint="train again")
        return []
    before = read_kept(Recipe, found.state["recipe"], str(found.path))
    if read_kept(ConvNet, found.state["network"], str(found.path)) != job.network:
        raise RunError(f"{job.run.path}: network.toml is not the network that was trained", hint="restore it")
    kept = {
        "batch": (before.batch, job.recipe.batch),
        "optimizer.type": (before.optimizer.TYPE, job.recipe.optimizer.TYPE),
        "ema_decay, to or from none": (before.ema_decay > 0, job.recipe.ema_decay > 0),
        "trainable": (before.trainable, job.recipe.trainable),
        "layer_decay, from or to 1": (before.layer_decay == 1, job.recipe.layer_decay == 1),
        "patience, from or to 0": (before.patience > 0, job.recipe.patience > 0),
        "validation_share": (before.validation_share, job.recipe.validation_share),
        "sampling": (before.sampling, job.recipe.sampling),
    }
    for name, (then, now) in kept.items():
        if then != now:
            raise ConfigError(f"{name} cannot change once a run has begun", hint="train again, or leave it as it was")
    if job.recipe.epochs < found.state["position"]["epoch"]:
        raise ConfigError(f"epochs {job.recipe.epochs}: more have been trained already", hint="at least as many")
    return job.recipe.changes_from(before)


def tell_resumed(job: Job, state: TrainingState, found: Checkpoint, changes: list[str], processes: Processes) -> None:
    """Write the changed recipe, and say what is unlike before."""
    run, environment = job.run, job.run.environment()
    notes = [f"passed over: {message}" for message in found.damaged]
    if changes:
        run.write_recipe(job.recipe)
        notes.append("recipe changed: " + "; ".join(changes))
    now = {
        "threads": torch.get_num_threads(),
        "processes": processes.world,
        "device": str(pick_device()),
        "PyTorch": torch.__version__.split("+")[0],
    }
    before = {
        "threads": environment.get("torch_threads"),
        "processes": environment.get("processes"),
        "device": environment.get("device"),
        "PyTorch": str(environment.get("versions", {}).get("torch")).split("+")[0],
    }
    for what, value in now.items():
        if before[what] != value:
            notes.append(f"{before[what]} {what} before, {value} now: the last bits will differ")
    notes.append(f"resuming in epoch {state.position.epoch + 1} after step {state.position.step}")
    for note in notes:
        run.append_event(note, step=state.position.total_steps)
        if not job.quiet:
            print_note(note)
