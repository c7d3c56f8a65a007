"""train and resume: a network, data and a recipe to a run folder; an unfinished run folder to a finished one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from convscale.data import Dataset, open_dataset
from convscale.data.layouts import Layout
from convscale.dialects import find_weights_file
from convscale.errors import ConfigError, InputError, RunError
from convscale.interrupts import Interrupts
from convscale.machine import speaks
from convscale.networks import ConvNet
from convscale.nn.device import device_facts
from convscale.nn.processes import Processes
from convscale.openers import network as open_network
from convscale.planning import Plan
from convscale.progress import print_note
from convscale.recipes import LBFGS, Recipe
from convscale.recipes import recipe as find_recipe
from convscale.recipes.settings import require_agreement
from convscale.records import Evaluation
from convscale.runs import (
    Run,
    Settings,
    Story,
    claim,
    claimed,
    create_run,
    format_call,
    open_unfinished_run,
    release,
)
from convscale.training.checkpoint import list_checkpoints, load_newest, remove_leftovers
from convscale.training.continuing import Continuation, continuation
from convscale.training.job import Job
from convscale.training.loop import Loop
from convscale.training.precision import with_precision
from convscale.training.probe import fit_probe
from convscale.training.results import write_results
from convscale.training.resuming import changes_since, same_data, tell_resumed
from convscale.training.session import Session
from convscale.training.setup import (
    draw_first_batch,
    make_job,
    make_state,
    require_disk,
    warn_of_memory,
    warn_of_no_weights,
    warn_of_pixels,
    weights_sha256,
)
from convscale.training.story import complete_story, story_of_call
from convscale.training.tuning import with_choice


def train(
    network: ConvNet | str | Path,
    data: Dataset | str | Path,
    recipe: Recipe | str | Path,
    output: str | Path,
    *,
    set: Sequence[str] = (),
    label_column: str = "label",
    layout: Layout | None = None,
    quiet: bool = False,
    story: Story | None = None,
    plan: Plan | None = None,
    **settings: Any,
) -> tuple[Run, Evaluation]:
    """Train `network` on `data` by `recipe` into a new run folder, `output`, which must be empty or absent.

    network: whatever `convscale.network` opens. set: changes of the recipe, each KEY=VALUE. label_column, layout: as
    `open_dataset` takes them.

    `settings` are the fields of `convscale.runs.Settings`: seed, workers, ... The classifier takes the data's number
    of classes. `story` records how the run came about, if not by this call alone, and `plan` where the network comes
    from; the run keeps both. The last epoch's weights, or their moving average where the recipe has one, are kept and
    evaluated on the held-out images. Raises ConfigError, DataError and RunError for what cannot be trained,
    TrainingError where it fails, TrainingStopped where a signal ends it; `resume` then continues.
    """
    story = story or story_of_call(network, data, recipe, output, **settings)
    chosen, path = Settings(**settings), Path(output)
    network = open_network(network)
    named = recipe if isinstance(recipe, Recipe) else find_recipe(recipe)
    require_agreement(set)
    recipe = named.with_settings(list(set))
    chosen = replace(chosen, changed=chosen.changed or tuple(recipe.changes_from(named)))
    with Processes() as processes:
        again = processes.any(processes.first and processes.remembers(_began(path)))
        if again and processes.any(processes.first and (path / "environment.json").exists()):
            return _resume(path, data if isinstance(data, Dataset) else None, [], processes, quiet=quiet)
        if not isinstance(data, Dataset):
            data = open_dataset(
                data, seed=chosen.seed, label_column=label_column, exclude=chosen.exclude, layout=layout
            )
        chosen = _with_weights_file(chosen)
        job = make_job(network, data, recipe, Run(path), chosen, world=processes.world, quiet=quiet)
        job, decided = with_precision(job, processes)
        story = replace(story, decisions=(*story.decisions, *decided))
        job = replace(job, story=complete_story(story, job), plan=plan)
        if processes.first and again and path.is_dir():
            job.run.discard()  # half made by processes that were killed
        processes.fail_together(lambda: _create(job, processes))
        warn_of_no_weights(job, processes)
        warn_of_pixels(job, processes)
        return _carry_out(job, processes, fresh=True)


def _with_weights_file(settings: Settings) -> Settings:
    """The settings with the file of their weights, and its sha256."""
    if settings.weights is None:
        return settings
    file = str(find_weights_file(settings.weights))
    return replace(settings, weights=file, weights_sha256=weights_sha256(file))


def _began(path: Path) -> str:
    return f"began {path.absolute()}"


def _create(job: Job, processes: Processes) -> None:
    """Make the run folder, in the first process."""
    require_disk(job)
    if processes.first:
        facts = {"torch_threads": torch.get_num_threads(), "processes": processes.world} | device_facts()
        dataset, record = job.dataset, job.dataset.record()
        claim(job.run.path)
        try:
            processes.remember(_began(job.run.path))  # what torchrun starts after a kill continues it
            create_run(
                job.run.path, job.network, job.recipe, record, job.settings, facts, excluded=dataset.excluded,
                preprocessing=job.preprocessing, story=job.story, plan=job.plan,
            )  # fmt: skip
        finally:
            release(job.run.path)  # nothing, once the run is made


def resume(
    run: str | Path,
    *,
    data: Dataset | str | Path | None = None,
    set: Sequence[str] = (),
    quiet: bool = False,
    changes: Sequence[str] | None = None,
    epochs: int | None = None,
    output: str | Path | None = None,
    command: str | None = None,
) -> tuple[Run, Evaluation]:
    """Resume an interrupted run from its newest whole checkpoint; the result is bit-identical to an uninterrupted one.
    Or, with `epochs`, train a finished run for that many more, as a new run.

    `data` is where the data is now, if it was moved, or the Dataset that `train` was given. `set` are changes to the
    recipe, each KEY=VALUE, that apply from here on; they are recorded (`changes` is its older name).

    The new run goes to `output`, or to the next free number beside the finished one, which stays as it is. It starts
    from that one's weights with a fresh optimizer, runs the recipe's whole learning rate schedule, warm-up included,
    over its own epochs, and records the run that it continues, and this call or the `command` that stands for it.

    Raises RunError for a folder that is not a run or whose files do not belong together, ConfigError for a change that
    cannot be made, or for epochs after a run that is not finished, DataError where the data has changed, and the
    errors of `train`.
    """
    settings = [*set, *(changes or ())]
    require_agreement(settings)
    if epochs is not None:
        call = format_call("convscale.resume", run, set=tuple(settings), epochs=epochs, output=output)
        ahead = continuation(Path(run), epochs, data=data, changes=settings, command=command or call)
        return _continue(ahead, None if output is None else Path(output), quiet=quiet)
    if output is not None:
        raise ConfigError("output names the folder of the new run", hint="give epochs too, or leave output out")
    with Processes() as processes:
        return _resume(Path(run), data, settings, processes, quiet=quiet)


def _continue(ahead: Continuation, output: Path | None, *, quiet: bool) -> tuple[Run, Evaluation]:
    with claimed(output, *ahead.place) as path:
        if not quiet and speaks():
            print_note(f"{ahead.note}; run {path}")
        return train(
            ahead.network, ahead.dataset, ahead.recipe, path, quiet=quiet, story=ahead.story, plan=ahead.plan,
            **ahead.options,
        )  # fmt: skip


def _resume(
    path: Path, data: Dataset | str | Path | None, changes: list[str], processes: Processes, *, quiet: bool
) -> tuple[Run, Evaluation]:
    run = open_unfinished_run(path)
    if run.result() is not None and run.weights.exists():
        if changes:
            raise ConfigError(
                f"{path}: its training is done, so nothing can be changed", hint="train again, into a new folder"
            )
        if processes.first:
            run.remove_checkpoints()
            remove_leftovers(run.path)
        return run, run.evaluation()
    recipe = run.recipe()
    if changes and recipe.search and not isinstance(recipe.optimizer, LBFGS):  # a probe's comes last of all
        raise ConfigError(
            f"{path}: its search is not done, and nothing can be changed before it is", hint="leave --set out"
        )
    dataset = same_data(run, data)
    job = make_job(
        run.network(), dataset, recipe.with_settings(changes), run, run.settings(),
        preprocessing=run.preprocessing(), world=processes.world, quiet=quiet,
    )  # fmt: skip
    return _carry_out(job, processes, fresh=False)


def _carry_out(job: Job, processes: Processes, *, fresh: bool) -> tuple[Run, Evaluation]:
    """Train from the newest checkpoint, or from the start, to the end, and write the results."""
    with Interrupts() as interrupts, ExitStack() as held:
        processes.fail_together(lambda: held.enter_context(job.run.locked()) if processes.first else None)
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
        processes.fail_together(lambda: _create(trial, processes))
    return _train(trial, processes, interrupts)[1]


def _train(job: Job, processes: Processes, interrupts: Interrupts) -> tuple[Run, Evaluation]:
    warn_of_memory(job, processes)
    if processes.first:
        remove_leftovers(job.run.path)
    processes.barrier()
    found = processes.fail_together(lambda: load_newest(job.run.checkpoints))
    changes = changes_since(job, found)
    state = processes.fail_together(lambda: make_state(job, processes, from_start=found is None))
    session = Session(job, state, processes, interrupts, found)
    if found is not None:
        state.position.accumulation = max(state.position.accumulation, job.recipe.accumulation)
        if changes:
            state.position.forecast_phases = 0
    if not processes.same(state.position.total_steps):
        raise RunError(
            f"{job.run.path}: the processes do not see the same checkpoints",
            hint="all machines need the run folder on a shared disk",
        )
    if processes.first:
        if found is not None:
            tell_resumed(job, state, found, changes, processes)
        if job.settings.pictures:
            draw_first_batch(job)
    session.save()
    with session.following():
        measured = fit_probe(session) if isinstance(job.recipe.optimizer, LBFGS) else Loop(session).run()
        if processes.first:
            write_results(job, state, measured, processes)
    processes.barrier()
    return job.run, measured.evaluation
