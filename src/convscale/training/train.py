"""train and resume: a network, data and a recipe to a run folder; an unfinished run folder to a finished one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from convscale.costs import cost
from convscale.data import Dataset, open_dataset
from convscale.data.loader import training_batches
from convscale.errors import ConfigError, DataError, InputError, RunError
from convscale.evaluation import Measured
from convscale.figures import draw_confusion, draw_curves, draw_sheet
from convscale.networks import ConvNet
from convscale.nn import Model, build, keep_memory, load_weights, pick_device, place, save_weights, synchronise_norms
from convscale.preprocessing import default_preprocessing
from convscale.processes import Processes
from convscale.progress import tell
from convscale.recipes import Recipe
from convscale.records import Evaluation, TrainRecord
from convscale.runs import Run, Settings, create_run, open_unfinished_run, require_free
from convscale.training.checkpoint import Checkpoint, free_bytes, list_checkpoints, load_newest, remove_leftovers
from convscale.training.ema import EMA
from convscale.training.interrupts import Interrupts
from convscale.training.job import Job
from convscale.training.loop import Loop
from convscale.training.memory import available_bytes, training_bytes
from convscale.training.optimizer import make_optimizer
from convscale.training.state import Position, TrainingState
from convscale.units import format_bytes, format_seconds

# The two newest and the one being written, and the two weights files.
CHECKPOINTS_ON_DISK = 3


def train(
    network: ConvNet,
    data: Dataset | str | Path,
    recipe: Recipe,
    output: str | Path,
    *,
    quiet: bool = False,
    **settings: Any,
) -> tuple[Run, Evaluation]:
    """Train `network` on `data` by `recipe`; the run folder `output` is made and must be empty.

    `settings` are the fields of `convscale.runs.Settings`: seed, workers, ... The classifier takes the data's number
    of classes. The last epoch's weights, their moving average where the recipe has one, are kept and evaluated on
    the held-out images. Raises ConfigError, DataError and RunError for what cannot be trained, TrainingError where
    it fails, TrainingStopped where a signal ends it: `resume` goes on then.
    """
    chosen = Settings(**settings)
    path = Path(output)
    with Processes() as processes:
        again = processes.any(processes.first and processes.remembers(_began(path)))
        if again and processes.any(processes.first and (path / "environment.json").exists()):
            return _resume(path, data if isinstance(data, Dataset) else None, [], processes, quiet=quiet)
        dataset = data if isinstance(data, Dataset) else open_dataset(data, seed=chosen.seed, exclude=chosen.exclude)
        job = make_job(network, dataset, recipe, Run(path), chosen, quiet=quiet)
        if processes.first and again and path.is_dir():
            job.run.discard()  # half made by processes that were killed
        processes.together(lambda: _create(job, processes))
        try:
            return _carry_out(job, processes)
        except InputError:
            if processes.first and not any(_step_of(saved) for saved in list_checkpoints(job.run.checkpoints)):
                job.run.discard()  # nothing to keep: leave the name free for the next try
            raise


def _began(path: Path) -> str:
    return f"began {path.absolute()}"


def _create(job: Job, processes: Processes) -> None:
    """Make the run folder, in the first process."""
    _require_disk(job)
    if processes.first:
        require_free(job.run.path)
        processes.remember(_began(job.run.path))  # what torchrun starts after a kill goes on with it
        facts = {"torch_threads": torch.get_num_threads(), "device": str(pick_device()), "processes": processes.world}
        create_run(job.run.path, job.network, job.recipe, job.dataset.record(), job.settings, facts)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def resume(
    run: str | Path, *, data: Dataset | None = None, changes: list[str] | None = None, quiet: bool = False
) -> tuple[Run, Evaluation]:
    """Go on with an unfinished run, from its newest whole checkpoint, to the very result that it would have had.

    `data` is needed only where `train` was given a Dataset made by hand. `changes` are settings of the recipe,
    KEY=VALUE, that hold from now on; they are recorded. Raises RunError for a folder that is no run, DataError
    where the data is no longer what it was, and as `train`.
    """
    with Processes() as processes:
        return _resume(Path(run), data, changes or [], processes, quiet=quiet)


def _resume(
    path: Path, data: Dataset | None, changes: list[str], processes: Processes, *, quiet: bool
) -> tuple[Run, Evaluation]:
    run = open_unfinished_run(path)
    result, record = run.result(), run.data()
    if result is not None and run.weights.exists():
        return run, run.evaluation()
    if record is None:
        raise RunError(f"{path}: data.json is missing", hint="train again")
    settings = run.settings()
    dataset = data or open_dataset(
        record.source, seed=record.seed, label_column=record.label_column, exclude=run.excluded_images()
    )
    if dataset.record() != record:
        raise DataError(
            f"{record.source}: {len(dataset.train):,} and {len(dataset.test):,} images now, {record.train_images:,} "
            f"and {record.test_images:,} when {path} began: the run cannot go on as it was",
            hint="restore the data, or train anew",
        )
    recipe, before = run.recipe().with_settings(changes), run.recipe()
    if recipe.batch != before.batch or type(recipe.optimizer) is not type(before.optimizer):
        raise ConfigError("batch and optimizer.type cannot change once a run has begun", hint="train anew")
    job = make_job(run.network(), dataset, recipe, run, settings, quiet=quiet)
    if processes.first and changes:
        run.append_event("recipe changed: " + "; ".join(recipe.changes_from(before)))
        run.write_recipe(recipe)
    return _carry_out(job, processes)


def make_job(
    network: ConvNet, dataset: Dataset, recipe: Recipe, run: Run, settings: Settings, *, quiet: bool = False
) -> Job:
    """A job whose parts fit each other. Raises ConfigError and DataError where they do not."""
    if network.input_channels not in (1, 3):
        raise ConfigError(f"input_channels {network.input_channels}: images are grey (1) or RGB (3)")
    if len(dataset.train) < 2:
        raise DataError(f"{dataset.source}: {len(dataset.train)} training images are too few")
    network = network.with_classes(len(dataset.classes))
    preprocessing = default_preprocessing(network.resolution, network.input_channels)
    return Job(network, dataset, preprocessing, recipe.for_network(network), settings, run, quiet)


def make_state(job: Job, processes: Processes, *, from_start: bool = True) -> TrainingState:
    """Model, average and optimizer as they are before the first step; where a checkpoint follows, not `from_start`,
    the weights to start from are not looked for."""
    keep_memory()
    recipe, settings = job.recipe, job.settings
    if recipe.batch % processes.world or len(job.dataset.train) < processes.world:
        raise ConfigError(
            f"a batch of {min(recipe.batch, len(job.dataset.train))} cannot be shared by {processes.world} processes",
            hint="the batch counts the images of all processes: --batch with a multiple of their number",
        )
    model = build(job.network, recipe.dropout, recipe.drop_path, norm_momentum=recipe.norm_momentum, seed=settings.seed)
    if settings.weights is not None and from_start:
        start_from(model, Path(settings.weights))
    model = place(model)
    if processes.world > 1:
        synchronise_norms(model)
    if recipe.trainable == "head":
        model.requires_grad_(False).head.classifier.requires_grad_(True)
    ema = EMA(model, recipe.ema_decay) if recipe.ema_decay else None
    position = Position(seed=settings.seed, accumulation=recipe.accumulation)
    return TrainingState(model, ema, make_optimizer(model, recipe), position)


def start_from(model: Model, path: Path) -> None:
    """Give `model` the weights of a file, all but the classifier's where the numbers of classes differ.

    Raises RunError where the networks differ in anything else.
    """
    found, header = load_weights(path)
    if header.network.with_classes(model.network.num_classes).at_resolution(model.network.resolution) != model.network:
        raise RunError(f"{path}: weights of another network, {header.network.name}", hint=f"train its own: {path}")
    weights = found.state_dict()
    if header.network.num_classes != model.network.num_classes:
        fresh = model.state_dict()
        weights |= {name: fresh[name] for name in weights if name.startswith("head.classifier.")}
    model.load_state_dict(weights)


def _carry_out(job: Job, processes: Processes) -> tuple[Run, Evaluation]:
    """Train from the newest checkpoint, or from the start, to the end, and write the results."""
    with Interrupts() as interrupts, ExitStack() as held:
        processes.together(lambda: held.enter_context(job.run.locked()) if processes.first else None)
        _warn_of_memory(job, processes)
        if processes.first:
            remove_leftovers(job.run.checkpoints)
        processes.barrier()
        found = processes.together(lambda: load_newest(job.run.checkpoints))
        state = processes.together(lambda: make_state(job, processes, from_start=found is None))
        processes.together(lambda: _restore(job, state, found, processes))
        if not processes.same(state.position.total_steps):
            raise RunError(
                f"{job.run.path}: not the same checkpoints for all processes",
                hint="all machines need the run folder on a disk that they share",
            )
        processes.together(lambda: _draw_first_batch(job) if processes.first else None)
        loop = Loop(job, state, processes, interrupts)
        loop.save()
        measured = loop.run()
        if processes.first:
            _finish(job, state, measured, processes)
        processes.barrier()
    return job.run, measured.evaluation


def _restore(job: Job, state: TrainingState, found: Checkpoint | None, processes: Processes) -> None:
    """Put a checkpoint into `state`, and what the run says of later epochs aside."""
    run = job.run
    if found is None:
        if processes.first:
            run.keep_metrics(0)
        return
    state.restore(found.tensors, found.state, str(run.checkpoints))
    state.position.accumulation = max(state.position.accumulation, job.recipe.accumulation)
    if not processes.first:
        return
    run.keep_metrics(state.position.epoch)
    notes = [f"passed over: {message}" for message in found.damaged]
    environment = run.environment()
    now = torch.get_num_threads()
    for what, before, count in (
        ("threads", environment.get("torch_threads"), now),
        ("processes", environment.get("processes"), processes.world),
    ):
        if before not in (None, count):
            notes.append(f"{before} {what} before, {count} now: the last bits will differ from an uninterrupted run")
    notes.append(f"going on in epoch {state.position.epoch + 1} after step {state.position.step}")
    for note in notes:
        run.append_event(note, step=state.position.total_steps, torch_threads=now)
        if not job.quiet:
            tell(note)


def _finish(job: Job, state: TrainingState, measured: Measured, processes: Processes) -> None:
    """Weights, evaluation, pictures and the record, in this order: a run is done when its record is there."""
    run, position, evaluation = job.run, state.position, measured.evaluation
    save_weights(run.weights, state.evaluated, job.header)
    run.write_evaluation(evaluation)
    images = position.total_steps * min(job.recipe.batch, len(job.dataset.train))
    record = TrainRecord(
        top1=evaluation.top1,
        epochs=job.recipe.epochs,
        steps=position.total_steps,
        seconds=position.run_seconds,
        images_per_second=images / max(position.training_seconds, 1e-9),
        best_top1=position.best_top1,
        best_epoch=position.best_epoch,
        predicted_seconds=position.predicted_seconds,
        unreadable=len(position.unreadable),
        processes=processes.world,
        state_sha256=state.sha256(),
    )
    draw_curves(run.metrics(), run.path / "pictures" / "curves.png")
    if measured.confusion is not None:
        draw_confusion(measured.confusion, job.dataset.classes, run.path / "pictures" / "confusion.png")
    run.write_result(record)
    run.remove_checkpoints()
    if not job.quiet and position.predicted_seconds:
        ratio = position.run_seconds / position.predicted_seconds
        tell(f"{format_seconds(position.run_seconds)} measured, {ratio:.2f} times what the first steps predicted")


def _warn_of_memory(job: Job, processes: Processes) -> None:
    """Say beforehand that a batch will not fit, by the cost model."""
    images = job.recipe.batch // processes.world // job.recipe.accumulation
    needed, free = training_bytes(job.network, images), available_bytes(pick_device())
    if free is not None and needed > free and processes.first and not job.quiet:
        tell(f"{images} images at once need {format_bytes(needed)}, {format_bytes(free)} are free: --batch auto")


def disk_bytes(job: Job) -> int:
    """The most that a run writes to the disk at one time."""
    costs = cost(job.network)
    return CHECKPOINTS_ON_DISK * costs.training_memory_bytes_fixed + 2 * costs.file_bytes


def _require_disk(job: Job) -> None:
    """Raise RunError where the disk has no room for what the run will write."""
    needed, free = disk_bytes(job), free_bytes(job.run.path.absolute())
    if needed > free:
        raise RunError(
            f"{job.run.path}: checkpoints and weights need up to {format_bytes(needed)}, {format_bytes(free)} are free",
            hint="make room, or choose another disk with -o",
        )


def _draw_first_batch(job: Job) -> None:
    """A sheet of the first batch's images as augmented, before mixup and cutmix."""
    path = job.run.path / "pictures" / "first-batch.png"
    if not path.exists():
        recipe = job.recipe
        batches = training_batches(
            job.dataset.train, job.preprocessing, recipe.augmentation, recipe.batch, seed=job.settings.seed, epoch=0
        )
        draw_sheet(next(batches).pixels.numpy(), path)
