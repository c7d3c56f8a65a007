"""More epochs after a finished run: what the new training is, by the folder of the run that it continues.

The new run starts from the finished one's weights (their moving average, where the recipe has one) with a fresh
optimizer, since a finished run keeps none. Its learning rate follows the recipe's whole schedule over the new epochs:
warm-up, full rate, decay. Images come in an order of their own, and the same ones are held out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from convscale.data import Dataset
from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.recipes import LBFGS, Recipe, SearchGrid
from convscale.recipes.settings import require_agreement
from convscale.runs import Decision, Run, Settings, Story, open_unfinished_run
from convscale.training.resuming import same_data
from convscale.units import format_number

_NUMBERED = re.compile(r"-\d+$")
_KEPT = ("baseline", "recipe", "resolution")  # decisions that hold for the new run too


@dataclass(frozen=True)
class Continuation:
    """What `train` is called with to continue the run `before`."""

    before: Run
    network: ConvNet
    dataset: Dataset
    recipe: Recipe
    settings: Settings
    story: Story
    plan: Plan | None

    @property
    def options(self) -> dict[str, Any]:
        """The settings, by name."""
        return {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}

    @property
    def note(self) -> str:
        """What is about to happen, in words."""
        before, more = self.settings.epochs_before, self.recipe.epochs
        return (
            f"{format_number(more, 'more epoch')} after {before} of {self.before.path}: from its weights, with "
            "a fresh optimizer and the learning rate schedule from its start"
        )

    @property
    def place(self) -> tuple[Path, str]:
        """Where the new run goes unless a folder is named: beside the other one, by its name without the number."""
        path = self.before.path
        path = path if path.name not in ("", "..") else path.resolve()
        return path.parent, _NUMBERED.sub("", path.name)


def continuation(
    path: Path, epochs: int, *, data: Dataset | str | Path | None, changes: Sequence[str], command: str
) -> Continuation:
    """`epochs` more for the finished run in `path`, its recipe otherwise changed by `changes`.

    Raises RunError where there is no run, ConfigError where it is not finished or cannot be trained further, or where
    `changes` contradict `epochs`, DataError where its data is no longer what it was.
    """
    require_agreement(changes, epochs=epochs)
    run, trained = _finished(path)
    before, settings = run.recipe(), run.settings()
    recipe = replace(before, search=SearchGrid()).with_changes(epochs=epochs, head_epochs=0)
    recipe = recipe.with_settings(list(changes))
    place, total = str(run.path.absolute()), settings.epochs_before + trained
    story = run.story() or Story()
    found = tuple(one for one in story.decisions if one.what in _KEPT)
    start = Decision("weights", place, f"this run continues it, after {total} epochs")
    return Continuation(
        before=run,
        network=run.network(),
        dataset=same_data(run, data),
        recipe=recipe,
        settings=replace(
            settings, weights=place, weights_sha256="", continues=place, epochs_before=total, evaluate_each_epoch=True,
            evaluation_precision="fp32" if recipe.precision == "auto" else settings.evaluation_precision,
            changed=_joined(settings.changed, recipe.changes_from(before)),
        ),
        story=Story(command=command, decisions=(*found, start)),
        plan=run.plan(),
    )  # fmt: skip


def _joined(before: Sequence[str], since: Sequence[str]) -> tuple[str, ...]:
    """Changes of a recipe, "epochs 16 -> 2", and what changed since: "epochs 16 -> 5"; nothing of what is as it was."""
    changes = {change.split(" ", 1)[0]: change for change in before}
    for change in since:
        name = change.split(" ", 1)[0]
        start, end = changes.get(name, change).split(" -> ")[0], change.split(" -> ")[1]
        changes[name] = f"{start} -> {end}"
        if start == f"{name} {end}":
            del changes[name]
    return tuple(changes.values())


def _finished(path: Path) -> tuple[Run, int]:
    """The run to continue, and for how many epochs it was trained."""
    run = open_unfinished_run(path)
    result = run.result()
    if result is None:
        raise ConfigError(
            f"{path}: its training is not finished, so no more epochs can follow it yet",
            hint=f"first: convscale resume {path}, with --set epochs=N for N in total",
        )
    if not run.weights.exists():
        raise ConfigError(
            f"{path}: its weights were not kept, so no training can continue from them", hint="train again"
        )
    if isinstance(run.recipe().optimizer, LBFGS):
        raise ConfigError(
            f"{path}: a linear probe is already fully fitted: more epochs would change nothing",
            hint=f"to train all of it: convscale train {path} --weights {path} --data DATA --recipe finetune -o OUT",
        )
    return run, result.epochs
