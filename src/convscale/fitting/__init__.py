"""fit: everything in one call, from images and a budget to a trained and evaluated network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from convscale.costs import LatencyPredictor
from convscale.data import Dataset
from convscale.data.layouts import Layout
from convscale.display import Display, Displayed
from convscale.fitting.choosing import Choice, choose
from convscale.fitting.planned import PlannedFit, plan_fit
from convscale.flattening import AsDict
from convscale.machine import speaks
from convscale.networks import ConvNet
from convscale.planning import Budget, Plan
from convscale.progress import print_line, print_note
from convscale.recipes import Recipe
from convscale.records import Evaluation, FitRecord
from convscale.report.fits import fit_record, summary_lines
from convscale.runs import Run
from convscale.scaling import ScalingLaw
from convscale.units import printable

__all__ = ["Choice", "Fit", "PlannedFit", "carry_out", "choose", "fit", "plan_fit"]


@dataclass(frozen=True, slots=True, repr=False)
class Fit(AsDict, Displayed):
    """What `fit` planned, trained and measured."""

    JSON: ClassVar = ("**record",)

    run: Run
    choice: Choice
    plan: Plan
    recipe: Recipe
    evaluation: Evaluation
    training_seconds: float
    dataset: Dataset

    @property
    def epochs(self) -> int:
        """How many were trained: fewer than the recipe's where training stopped early."""
        return self.record.epochs

    def _display(self) -> Display:
        """The summary."""
        return Display(f"Fit {self.run.path}", rows=tuple((line[:11].strip(), line[11:]) for line in self.summary()))

    @property
    def record(self) -> FitRecord:
        """All of it as plain data: what fit.json of the run folder holds."""
        record = fit_record(self.run)
        assert record is not None, "it was planned and is done"
        return record

    def summary(self) -> list[str]:
        """What was chosen and why, how accurate it is, and what to do next, in ten lines."""
        return summary_lines(self.record)


def fit(
    data: str | Path, budget: Budget | None = None, *, baseline: ConvNet | str | Path | None = None,
    weights: str | Path | None = None, law: ScalingLaw | None = None, recipe: Recipe | str | Path | None = None,
    epochs: int | None = None, batch: int | None = None, set: Sequence[str] = (),
    search: tuple[int, int] | None = None, output: str | Path | None = None, seed: int = 0, workers: int | None = None,
    label_column: str = "label", exclude: str | Path | None = None, layout: Layout | None = None,
    stored_range: tuple[float, float] | None = None, resolution: int | None = None, max_resolution: int | None = None,
    resolution_step: int = 1, quiet: bool = False, command: str | None = None, recipe_name: str | None = None,
    changes: Sequence[str] = (), predictor: LatencyPredictor | None = None,
) -> Fit:  # fmt: skip
    """Choose a baseline for the images, plan it to the budget, train it, evaluate it on held-out images.

    The run goes to `output`, or to the first free runs/NAME-N; `resume` continues it after an interruption. It keeps
    the plan, what was chosen and why, and the call, or the `command` that stands for it. `baseline` is whatever
    `convscale.network` opens, `recipe` a recipe, its name or its file, and `set` are changes to it, each KEY=VALUE
    (`recipe_name` and `changes` are their older names). `search` is how many learning rates and weight decays to try
    (`Recipe.searching`), `exclude` a list of images to leave out, `layout` whether folders are classes or splits
    (`open_dataset`), `stored_range` the pixel values that become 0 and 255, and `workers` the processes that load
    images, by default as in `Settings`. With `weights` (a run, a weights file or a name of `list_weights`) their
    network is trained further, by recipe finetune unless another is named, at the largest resolution up to its own
    that fits the budget; they need no budget. `resolution`, `max_resolution` and `resolution_step` limit the input
    side, in pixels, as in `plan`, and a limit on latency needs a `predictor` as there.

    The plan is printed before training starts; `plan_fit` returns it without training. Raises the errors of
    `open_dataset`, `plan`, `get_weights` and `train`.
    """
    planned = plan_fit(
        data, budget, baseline=baseline, weights=weights, law=law, recipe=recipe_name if recipe is None else recipe,
        epochs=epochs, batch=batch, set=(*set, *changes), search=search, output=output, seed=seed, workers=workers,
        label_column=label_column, exclude=exclude, layout=layout, stored_range=stored_range, resolution=resolution,
        max_resolution=max_resolution, resolution_step=resolution_step, command=command, predictor=predictor,
    )  # fmt: skip
    return carry_out(planned, quiet=quiet)


def carry_out(planned: PlannedFit, *, quiet: bool = False) -> Fit:
    """Print what was planned, train it and evaluate it. Raises what `fit` raises."""
    with planned.claimed() as path:
        if not quiet and speaks():  # before hours of training
            for note in planned.notes:
                print_note(printable(note))
            for line in planned.lines(path):
                print_line(line)
        from convscale.training import train  # PyTorch is loaded once everything else is known to be right

        run, evaluation = train(
            planned.plan.network, planned.dataset, planned.recipe, path, quiet=quiet, story=planned.story,
            plan=planned.plan, changed=planned.changed, **planned.settings,
        )  # fmt: skip
    record = fit_record(run)
    assert record is not None, "it was planned and is done"
    return Fit(run, planned.choice, planned.plan, record.recipe, evaluation, record.training_seconds, planned.dataset)
