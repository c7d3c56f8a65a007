"""The search for a learning rate and a weight decay: a training for each pair, judged by the validation split, or by a
part of the training images that is held out for it.

Trainings are run folders in RUN/search, carried out one after the other by what trains anything else; so a search that
was interrupted resumes where it was. Their weights are not kept. The held-out images of the data set are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from convscale.errors import NotFiniteError, TrainingError
from convscale.nn.processes import Processes
from convscale.progress import print_note
from convscale.recipes import LBFGS, Recipe
from convscale.recipes.rates import further_rates, short
from convscale.records import Evaluation, SearchRow
from convscale.report.searches import outermost
from convscale.runs import Run
from convscale.training.job import Job
from convscale.training.setup import make_job, split_training


def with_choice(job: Job, processes: Processes, carry_out: Callable[[Job], Evaluation]) -> Job:
    """The job with the best of its recipe's choices, found by `carry_out`, which trains a job to its end.

    Where the recipe allows further learning rates, rounds of them follow its own. The recipe that was chosen is
    written, without a search. A linear probe chooses by itself, on its features.
    Raises TrainingError where every choice failed, and what `carry_out` raises but for losses that are not finite.
    """
    todo = job.recipe.choices()
    if not todo or isinstance(job.recipe.optimizer, LBFGS):
        return job
    choices: list[Recipe] = []
    rows = list(job.run.searched())
    tried = {(row.learning_rate, row.weight_decay) for row in rows}
    while todo:
        choices += todo
        for index, choice in enumerate(todo, len(choices) - len(todo)):
            if (choice.learning_rate, choice.weight_decay) in tried:
                continue
            if processes.first and not job.quiet:
                print_note(
                    f"search {index + 1}/{len(choices)}: learning rate {choice.learning_rate:.3g}, weight decay "
                    f"{choice.weight_decay:.3g}, {_judged(job)}"
                )
            rows.append(_tried(job, choice, index, processes, carry_out))
            if processes.first:
                job.run.write_searched(rows)
        todo = _further(job.recipe, choices, rows)
    return replace(job, recipe=settle(job, best_choice(choices, rows), rows, processes))


def _further(recipe: Recipe, choices: Sequence[Recipe], rows: Sequence[SearchRow]) -> list[Recipe]:
    """The choices beyond the outermost learning rates, while one of those is the best and the recipe allows more."""
    search = recipe.search
    if not search.further_rates:
        return []
    accuracies = {(row.learning_rate, row.weight_decay): row.accuracy for row in rows}
    found: dict[float, float | None] = {}
    for choice in choices:
        rate, accuracy = choice.learning_rate, accuracies[choice.learning_rate, choice.weight_decay]
        found[rate] = max((one for one in (found.get(rate), accuracy) if one is not None), default=None)
    first = len(set(search.learning_rates)) or 1
    rates = further_rates(found, first + search.further_rates)
    return replace(recipe, search=replace(search, learning_rates=rates)).choices() if rates else []


def best_choice(choices: Sequence[Recipe], rows: Sequence[SearchRow]) -> Recipe:
    """The choice whose row has the highest accuracy, the earliest of equal ones. Raises TrainingError where none has
    any."""
    found = {(row.learning_rate, row.weight_decay): row.accuracy for row in rows}
    accuracies = [found.get((choice.learning_rate, choice.weight_decay)) for choice in choices]
    worked = [accuracy for accuracy in accuracies if accuracy is not None]
    if not worked:
        raise TrainingError(
            f"all {len(choices)} trainings of the search failed, at last: {rows[-1].failure}",
            hint="smaller learning rates: --set search.learning_rates=[...]",
        )
    return choices[accuracies.index(max(worked))]


def settle(job: Job, chosen: Recipe, rows: Sequence[SearchRow], processes: Processes) -> Recipe:
    """Write the chosen recipe and say what it is."""
    if processes.first:
        job.run.write_recipe(chosen)
        best = max(row.accuracy for row in rows if row.accuracy is not None)
        facts = f"learning rate {chosen.learning_rate:.3g}, weight decay {chosen.weight_decay:.3g}"
        if isinstance(chosen.optimizer, LBFGS):
            facts = f"weight decay {chosen.weight_decay:.3g}"
        images = "training images held out for it" if job.dataset.validation is None else "validation images"
        note = f"chosen of {len(rows)}: {facts}, {best:.4f} on {rows[0].n:,} {images}"
        for text in (note, *outermost(rows, chosen)):
            job.run.append_event(text)
            if not job.quiet:
                print_note(text)
    return chosen


def _judged(job: Job) -> str:
    """By which images, in words."""
    if job.dataset.validation is None:
        return f"on all but {job.recipe.search.share:.0%} of the training images"
    return f"judged by the {len(job.dataset.validation):,} validation images"


def _tried(
    job: Job, choice: Recipe, index: int, processes: Processes, carry_out: Callable[[Job], Evaluation]
) -> SearchRow:
    """Train by one choice, or resume that, and report its outcome."""
    brief = short(choice, job.recipe.search.epochs_share)
    trial = _trial(job, brief, Run(job.run.path / "search" / f"{index + 1:03d}"), processes)
    failure, accuracy = "", None
    try:
        accuracy = carry_out(trial).accuracy(job.dataset.metric)
    except NotFiniteError as error:
        failure = error.message
    record = trial.run.result()
    if processes.first:
        trial.run.remove_weights()
        trial.run.remove_checkpoints()
    seconds = 0.0 if record is None else record.seconds
    return SearchRow(choice.learning_rate, choice.weight_decay, accuracy, len(trial.dataset.test), seconds, failure)


def _trial(job: Job, choice: Recipe, run: Run, processes: Processes) -> Job:
    """The training of one choice, judged once, at its end, by the validation split or a part of the training images."""
    if job.dataset.validation is None:
        train, held = split_training(job.dataset, job.recipe.search.share, job.settings.seed, "a search")
        dataset = replace(job.dataset, train=train, test=held)
    else:
        dataset = replace(job.dataset, test=job.dataset.validation, validation=None)
    settings = replace(job.settings, pictures=False, evaluate_each_epoch=False)
    trial = make_job(
        job.network, dataset, choice, run, settings, preprocessing=job.preprocessing, world=processes.world,
        quiet=job.quiet,
    )  # fmt: skip
    return replace(trial, part_of=job.run)
