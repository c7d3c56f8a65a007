"""What a training adds to its run's story: the call, and the decisions about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from convscale.data import Dataset
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.runs import Decision, Story, format_call
from convscale.runs.story import utc_now
from convscale.training.job import Job


def story_of_call(
    network: ConvNet | str | Path,
    data: Dataset | str | Path,
    recipe: Recipe | str | Path,
    output: str | Path,
    **named: Any,
) -> Story:
    """The story of a call of `train` that no command made."""
    written = format_call(
        "convscale.train",
        network.name if isinstance(network, ConvNet) else network,
        data.source if isinstance(data, Dataset) else data,
        recipe,
        output,
        **named,
    )
    decisions = () if isinstance(recipe, Recipe) else (Decision("recipe", str(recipe)),)
    return Story(command=written, decisions=decisions)


def complete_story(story: Story, job: Job) -> Story:
    """`story` with the time, with what the job itself decides, and with the notes on its data."""
    dataset, recipe = job.dataset, job.recipe
    drawn = dataset.held_out == "stratified"
    found = [
        Decision(
            "held-out images",
            f"{len(dataset.test):,}: {'a fifth of each class' if drawn else f'the {dataset.held_out} split'}",
            f"the data has no split of its own; drawn by seed {dataset.seed}" if drawn else "",
        )
    ]
    if job.validation is not None:
        own = dataset.validation is not None
        which = "the validation split" if own else f"{recipe.validation_share:.0%} of the training images of each class"
        found.append(Decision("validation images", f"{len(job.validation):,}: {which}", "epochs are judged by them"))
    if job.settings.changed:
        found.append(Decision("changes to the recipe", "; ".join(job.settings.changed)))
    parts = f", in {recipe.accumulation} parts" if recipe.accumulation > 1 else ""
    found.append(Decision("batch", f"{recipe.batch} images a step{parts}"))
    start = job.settings.weights
    found.append(Decision("weights", f"drawn by seed {job.settings.seed}" if start is None else start))
    found.append(
        Decision("preprocessing", job.preprocessing.in_words(), "" if start is None else "as the weights ask for")
    )
    if left_out := sum(map(len, dataset.excluded.values())):
        found.append(Decision("left out", f"{left_out:,} images", job.settings.exclude or "as asked"))
    if dataset.skipped:
        found.append(Decision("not used", ", ".join(dataset.skipped), "of no split"))
    known = {one.what for one in story.decisions}
    return replace(
        story,
        started=story.started or utc_now(),
        decisions=(*story.decisions, *(one for one in found if one.what not in known)),
        notes=(*story.notes, *dataset.notes),
    )
