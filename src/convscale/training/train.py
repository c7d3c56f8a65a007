"""train and resume: a network, data and a recipe to a run folder; an unfinished run folder to a finished one."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from convscale.catalog import network as find_network
from convscale.data import Dataset, open_dataset
from convscale.data.loader import training_batches
from convscale.errors import ConfigError, DataError, InputError, RunError
from convscale.evaluation import Measured
from convscale.figures import SHEET_IMAGES, draw_confusion, draw_curves, draw_sheet
from convscale.networks import ConvNet
from convscale.nn import pick_device, save_weights
from convscale.processes import Processes
from convscale.progress import tell
from convscale.recipes import LBFGS, Recipe
from convscale.recipes import recipe as find_recipe
from convscale.records import Evaluation, TrainRecord
from convscale.runs import Run, Settings, create_run, open_unfinished_run, require_free
from convscale.schema import from_table
from convscale.training.checkpoint import Checkpoint, list_checkpoints, load_newest, remove_leftovers
from convscale.training.interrupts import Interrupts
from convscale.training.job import Job
from convscale.training.loop import Loop
from convscale.training.probe import fit_probe
from convscale.training.setup import (
    make_job,
    make_state,
    require_disk,
    warn_of_memory,
    warn_of_no_weights,
    weights_sha256,
)
from convscale.training.state import TrainingState
from convscale.training.tuning import with_choice
from convscale.units import format_seconds


def train(
    network: ConvNet | str,
    data: Dataset | str | Path,
    recipe: Recipe | str | Path,
    output: str | Path,
    *,
    label_column: str = "label",
    quiet: bool = False,
    **settings: Any,
) -> tuple[Run, Evaluation]:
    """Train `network` on `data` by `recipe`; the run folder `output` is made and must be empty.

    `settings` are the fields of `convscale.runs.Settings`: seed, workers, ... The classifier takes the data's number
    of classes. The last epoch's weights, their moving average where the recipe has one, are kept and evaluated on
    the held-out images. Raises ConfigError, DataError and RunError for what cannot be trained, TrainingError where
    it fails, TrainingStopped where a signal ends it: `resume` goes on then.
    """
    chosen, path = Settings(**settings), Path(output)
    network = find_network(network) if isinstance(network, str) else network
    recipe = recipe if isinstance(recipe, Recipe) else find_recipe(recipe)
    with Processes() as processes:
        again = processes.any(processes.first and processes.remembers(_began(path)))
        if again and processes.any(processes.first and (path / "environment.json").exists()):
            return _resume(path, data if isinstance(data, Dataset) else None, [], processes, quiet=quiet)
        dataset = (
            data
            if isinstance(data, Dataset)
            else open_dataset(data, seed=chosen.seed, label_column=label_column, exclude=chosen.exclude)
        )
        if chosen.weights is not None:
            chosen = replace(chosen, weights_sha256=weights_sha256(chosen.weights))
        job = make_job(network, dataset, recipe, Run(path), chosen, world=processes.world, quiet=quiet)
        if processes.first and again and path.is_dir():
            job.run.discard()  # half made by processes that were killed
        processes.together(lambda: _create(job, processes))
        warn_of_no_weights(job, processes)
        return _carry_out(job, processes, fresh=True)


def _began(path: Path) -> str:
    return f"began {path.absolute()}"


def _create(job: Job, processes: Processes) -> None:
    """Make the run folder, in the first process."""
    require_disk(job)
    if processes.first:
        require_free(job.run.path)
        processes.remember(_began(job.run.path))  # what torchrun starts after a kill goes on with it
        facts = {"torch_threads": torch.get_num_threads(), "device": str(pick_device()), "processes": processes.world}
        dataset = job.dataset
        create_run(
            job.run.path, job.network, job.recipe, dataset.record(), job.settings, facts, excluded=dataset.excluded,
            preprocessing=job.preprocessing,
        )  # fmt: skip


def resume(
    run: str | Path, *, data: Dataset | str | Path | None = None, changes: list[str] | None = None, quiet: bool = False
) -> tuple[Run, Evaluation]:
    """Go on with an unfinished run, from its newest whole checkpoint, to the very result that it would have had.

    `data` says where the data is now, if not where it was, or is the Dataset that `train` was given. `changes` are
    settings of the recipe, KEY=VALUE, that hold from now on; they are recorded. Raises RunError for a folder that is
    no run or whose files do not belong together, ConfigError for a change that cannot be made, DataError where the
    data is no longer what it was, and as `train`.
    """
    with Processes() as processes:
        return _resume(Path(run), data, changes or [], processes, quiet=quiet)


def _resume(
    path: Path, data: Dataset | str | Path | None, changes: list[str], processes: Processes, *, quiet: bool
) -> tuple[Run, Evaluation]:
    run = open_unfinished_run(path)
    if run.result() is not None and run.weights.exists():
        if changes:
            raise ConfigError(f"{path}: its training is done, nothing can change", hint="train anew, into a new folder")
        if processes.first:
            run.remove_checkpoints()
        return run, run.evaluation()
    recipe = run.recipe()
    if changes and recipe.search and not isinstance(recipe.optimizer, LBFGS):  # a probe's comes last of all
        raise ConfigError(f"{path}: its search goes on, nothing can change before it is done", hint="leave --set out")
    dataset = _same_data(run, data)
    job = make_job(
        run.network(), dataset, recipe.with_settings(changes), run, run.settings(),
        preprocessing=run.preprocessing(), world=processes.world, quiet=quiet,
    )  # fmt: skip
    return _carry_out(job, processes, fresh=False)


def _same_data(run: Run, data: Dataset | str | Path | None) -> Dataset:
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
                source, seed=record.seed, label_column=record.label_column, exclude=run.excluded_images()
            )
        except DataError as error:
            hint = f"where is it now? convscale resume {run.path} --data NEW"
            raise DataError(error.message, hint=hint if data is None else error.hint) from None
    found = dataset.record()
    if found.fingerprint != record.fingerprint:
        raise DataError(
            f"{found.source}: not the data that {run.path} was trained on: {found.train_images:,} and "
            f"{found.test_images:,} images, {record.train_images:,} and {record.test_images:,} when it began, or other "
            "names, labels or classes: the run cannot go on as it was",
            hint="restore the data, or train anew",
        )
    return dataset


def _carry_out(job: Job, processes: Processes, *, fresh: bool) -> tuple[Run, Evaluation]:
    """Train from the newest checkpoint, or from the start, to the end, and write the results."""
    with Interrupts() as interrupts, ExitStack() as held:
        processes.together(lambda: held.enter_context(job.run.locked()) if processes.first else None)
        try:
            chosen = with_choice(job, processes, lambda trial: _try(trial, processes, interrupts))
            return _train(chosen, processes, interrupts)
        except InputError:
            if fresh and processes.first and not _has_progress(job.run):
                job.run.discard()  # nothing to keep: leave the name free for the next try
            raise


def _has_progress(run: Run) -> bool:
    """Whether a run folder holds work that would be lost with it: steps, features, or a search's."""
    later = [path for path in list_checkpoints(run.checkpoints) if not path.name.endswith("-000000000-evaluated")]
    trials = [Run(path) for path in (run.path / "search").glob("*")]
    return bool(later or run.searched()) or run.features.exists() or any(map(_has_progress, trials))


def _try(trial: Job, processes: Processes, interrupts: Interrupts) -> Evaluation:
    """Carry out one training of a search, or what is left of it."""
    if trial.run.result() is not None:
        return trial.run.evaluation()
    if not processes.any(processes.first and (trial.run.path / "environment.json").exists()):
        if processes.first and trial.run.path.is_dir():
            trial.run.discard()  # half made when a kill came
        processes.together(lambda: _create(trial, processes))
    return _train(trial, processes, interrupts)[1]


def _train(job: Job, processes: Processes, interrupts: Interrupts) -> tuple[Run, Evaluation]:
    warn_of_memory(job, processes)
    if processes.first:
        remove_leftovers(job.run.path)
    processes.barrier()
    found = processes.together(lambda: load_newest(job.run.checkpoints))
    changes = _changes(job, found)
    state = processes.together(lambda: make_state(job, processes, from_start=found is None))
    loop = Loop(job, state, processes, interrupts)
    if found is not None:
        loop.go_to(found)
        state.position.accumulation = max(state.position.accumulation, job.recipe.accumulation)
        if changes:
            state.position.predicted_seconds = 0.0
    if not processes.same(state.position.total_steps):
        raise RunError(
            f"{job.run.path}: not the same checkpoints for all processes",
            hint="all machines need the run folder on a disk that they share",
        )
    if processes.first:
        if found is not None:
            _tell_resumed(job, state, found, changes, processes)
        _draw_first_batch(job)
    loop.save()
    measured = fit_probe(loop) if isinstance(job.recipe.optimizer, LBFGS) else loop.run()
    if processes.first:
        _finish(job, state, measured, processes)
    processes.barrier()
    return job.run, measured.evaluation


def _changes(job: Job, found: Checkpoint | None) -> list[str]:
    """What is unlike it was when the checkpoint was written.

    Raises ConfigError for what cannot change once a run has begun, RunError where the checkpoints are gone.
    """
    if found is None:
        if job.run.metrics():
            raise RunError(f"{job.run.checkpoints}: no checkpoint, though epochs were trained", hint="train anew")
        return []
    before = from_table(Recipe, found.state["recipe"], str(found.path))
    if from_table(ConvNet, found.state["network"], str(found.path)) != job.network:
        raise RunError(f"{job.run.path}: network.toml is not the network that was trained", hint="restore it")
    kept = {
        "batch": (before.batch, job.recipe.batch),
        "optimizer.type": (before.optimizer.TYPE, job.recipe.optimizer.TYPE),
        "ema_decay, from or to none": (before.ema_decay > 0, job.recipe.ema_decay > 0),
        "trainable": (before.trainable, job.recipe.trainable),
        "layer_decay, from or to 1": (before.layer_decay == 1, job.recipe.layer_decay == 1),
        "patience, from or to 0": (before.patience > 0, job.recipe.patience > 0),
        "validation_share": (before.validation_share, job.recipe.validation_share),
    }
    for name, (then, now) in kept.items():
        if then != now:
            raise ConfigError(f"{name} cannot change once a run has begun", hint="train anew, or leave it as it was")
    if job.recipe.epochs < found.state["position"]["epoch"]:
        raise ConfigError(f"epochs {job.recipe.epochs}: more are trained already", hint="at least as many")
    return job.recipe.changes_from(before)


def _tell_resumed(job: Job, state: TrainingState, found: Checkpoint, changes: list[str], processes: Processes) -> None:
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
    notes.append(f"going on in epoch {state.position.epoch + 1} after step {state.position.step}")
    for note in notes:
        run.append_event(note, step=state.position.total_steps)
        if not job.quiet:
            tell(note)


def _finish(job: Job, state: TrainingState, measured: Measured, processes: Processes) -> None:
    """Weights, evaluation, pictures and the record, in this order: a run is done when its record is there."""
    run, position, evaluation = job.run, state.position, measured.evaluation
    save_weights(run.weights, state.evaluated, job.header)
    run.write_evaluation(evaluation)
    record = TrainRecord(
        top1=evaluation.top1,
        epochs=position.epoch,
        steps=position.total_steps,
        seconds=position.run_seconds,
        images_per_second=position.training_images / max(position.training_seconds, 1e-9),
        best_top1=position.best_top1,
        best_epoch=position.best_epoch,
        predicted_seconds=position.predicted_seconds or None,
        unreadable=len(position.unreadable),
        processes=processes.world,
        state_sha256=state.sha256(),
    )
    metrics = run.metrics()
    draw_curves(metrics, run.path / "pictures" / "curves.png")
    if measured.confusion is not None:
        draw_confusion(measured.confusion, job.dataset.classes, run.path / "pictures" / "confusion.png")
    run.write_result(record)
    run.remove_checkpoints()
    if job.quiet:
        return
    loss, guessing = metrics[-1].train_loss, math.log(max(2, len(job.dataset.classes)))
    if loss is not None and loss > 2 * guessing:
        tell(f"the loss ended at {loss:.3g}; guessing has {guessing:.3g}: did the training diverge?")
    if record.predicted_seconds:
        ratio = position.run_seconds / record.predicted_seconds
        tell(
            f"{format_seconds(position.run_seconds)} of training and evaluation, {ratio:.2f} times what the first "
            "steps predicted"
        )


def _draw_first_batch(job: Job) -> None:
    """A sheet of the first batch's images as augmented, before mixup and cutmix."""
    path = job.run.path / "pictures" / "first-batch.png"
    if not path.exists():
        batches = training_batches(
            job.train, job.preprocessing, job.recipe.augmentation, min(SHEET_IMAGES, job.recipe.batch),
            seed=job.settings.seed, epoch=0,
        )  # fmt: skip
        pixels = next(batches).pixels
        if len(pixels):
            draw_sheet(pixels.numpy(), path)
