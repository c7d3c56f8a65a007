"""A fit before it is trained: its data, plan, recipe, run folder, and the time and memory it will take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from convscale.costs import LatencyPredictor
from convscale.data import Dataset, open_dataset
from convscale.data.layouts import Layout
from convscale.data.notes import data_notes
from convscale.display import Display, Displayed
from convscale.fitting.advice import advise
from convscale.fitting.choosing import (
    OWN,
    Choice,
    choose,
    chosen_by_weights,
    decisions,
    require_budget_or_weights,
    require_free_network,
)
from convscale.flattening import AsDict
from convscale.machine import loading_workers
from convscale.networks import ConvNet
from convscale.planning import Budget, Plan, plan, plan_resolution
from convscale.recipes import Recipe
from convscale.recipes import recipe as open_recipe
from convscale.recipes.settings import require_agreement
from convscale.records import DataRecord, Estimate
from convscale.report.fits import plan_lines
from convscale.runs import Story, claimed, format_call, next_run_path, require_writable
from convscale.scaling import ScalingLaw

_RUNS = Path("runs")


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class PlannedFit(AsDict, Displayed):
    """What `fit` would train: `plan_fit` makes it, and nothing is trained or written yet.

    notes: remarks on the data and the plan. changed: differences from the named recipe.
    settings: the fields of `convscale.runs.Settings` that were given. output: the run folder, None for the next free
    one.
    """

    JSON: ClassVar = (
        "run", "data=record", "baseline=choice.baseline.name", "reason=choice.reason", "recipe=choice.recipe_name",
        "epochs=recipe.epochs", "law=plan.law.name", "phi=plan.chosen.phi", "scaling=plan.chosen.scaling",
        "cost=plan.chosen.cost_with_latency", "binding=plan.binding", "used=plan.chosen.used", "notes",
    )  # fmt: skip

    dataset: Dataset
    choice: Choice
    plan: Plan
    recipe: Recipe
    changed: tuple[str, ...]
    story: Story
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    output: Path | None

    @property
    def run(self) -> str:
        """The folder that it would go to, as things stand."""
        return str(next_run_path(_RUNS, self._name) if self.output is None else self.output)

    @property
    def record(self) -> DataRecord:
        """The data as plain data."""
        return self.dataset.record()

    @property
    def _name(self) -> str:
        return Path(self.dataset.source).stem

    def lines(self, run: str | Path | None = None) -> list[str]:
        """What is known before training, in six lines: data, baseline, law, network, budget and run folder."""
        return [
            *plan_lines(self.record, self.plan, self.choice.reason),
            f"run        {self.run if run is None else run}",
        ]

    def _display(self) -> Display:
        """The plan."""
        rows = tuple((line[:11].strip(), line[11:]) for line in self.lines())
        return Display(f"PlannedFit of {self.dataset.source}", rows=rows, notes=self.notes)

    def estimate(self) -> Estimate:
        """The time and memory that it would take, from a few measured steps; nothing is kept. Raises RunError where
        the run folder could not be made, and the errors of `train` that show in a few steps."""
        from convscale.training import estimate  # PyTorch

        require_writable(Path(self.run))
        return estimate(self.plan.network, self.dataset, self.recipe, Path(self.run), **self.settings)

    @contextmanager
    def claimed(self) -> Iterator[Path]:
        """The run's folder, claimed now: it may be minutes until something is written there."""
        with claimed(self.output, _RUNS, self._name) as path:
            yield path


def plan_fit(
    data: str | Path, budget: Budget | None = None, *, baseline: ConvNet | str | Path | None = None,
    weights: str | Path | None = None, law: ScalingLaw | None = None, recipe: Recipe | str | Path | None = None,
    epochs: int | None = None, batch: int | None = None, set: Sequence[str] = (),
    search: tuple[int, int] | None = None, output: str | Path | None = None, seed: int = 0, workers: int | None = None,
    label_column: str = "label", exclude: str | Path | None = None, layout: Layout | None = None,
    stored_range: tuple[float, float] | None = None, resolution: int | None = None, max_resolution: int | None = None,
    resolution_step: int = 1, command: str | None = None, predictor: LatencyPredictor | None = None,
) -> PlannedFit:  # fmt: skip
    """What `fit` with the same arguments would train, without training it or writing anything: `estimate()` of it
    measures a few steps. Weights that are given by a name of `convscale weights list` are fetched.

    Raises what `fit` raises, as far as that can be known beforehand.
    """
    limits = () if budget is None else (budget,)
    call = format_call(
        "convscale.fit", data, *limits, baseline=getattr(baseline, "name", baseline), weights=weights, law=law,
        recipe=None if recipe is None else _named(recipe), epochs=epochs, batch=batch, set=tuple(set), search=search,
        output=output, seed=seed or None, workers=workers, exclude=exclude, layout=layout,
        stored_range=stored_range, resolution=resolution, max_resolution=max_resolution,
        resolution_step=resolution_step if resolution_step > 1 else None,
    )  # fmt: skip
    require_budget_or_weights(budget, weights)
    require_agreement(set, epochs=epochs, batch=batch, search=search)
    file = None if weights is None else _start(weights, baseline, law)
    dataset = open_dataset(data, seed=seed, label_column=label_column, exclude=exclude, layout=layout)
    choice = choose(dataset, baseline) if file is None else chosen_by_weights(dataset, file)
    choice = choice if recipe is None else replace(choice, recipe_name=_named(recipe))
    options = {
        "resolution": resolution, "max_resolution": max_resolution, "resolution_step": resolution_step,
        "predictor": predictor,
    }  # fmt: skip
    planned = _plan(choice.baseline, budget, law, options, keeps_network=file is not None)
    named = recipe if isinstance(recipe, Recipe) else open_recipe(choice.recipe_name)
    chosen = _changed(named, epochs, batch, set, search).for_images(len(dataset.train))
    return PlannedFit(
        dataset=dataset,
        choice=choice,
        plan=planned,
        recipe=chosen,
        changed=tuple(chosen.for_network(planned.network).changes_from(named)),
        story=Story(command=command or call, decisions=decisions(choice, planned, asked=recipe is not None)),
        settings={
            "seed": seed, "workers": loading_workers() if workers is None else workers, "stored_range": stored_range,
            "weights": None if file is None else str(file.absolute()),
            "exclude": None if exclude is None else str(Path(exclude).absolute()),
        },
        notes=(*data_notes(dataset), *advise(dataset, planned, chosen, limited=bool(resolution or max_resolution))),
        output=None if output is None else Path(output),
    )  # fmt: skip


def _plan(
    baseline: ConvNet, budget: Budget | None, law: ScalingLaw | None, options: dict[str, Any], *, keeps_network: bool
) -> Plan:
    if keeps_network or budget is None:
        return plan_resolution(baseline, budget, **options)
    return plan(baseline, budget, law, **options)


def _changed(
    recipe: Recipe, epochs: int | None, batch: int | None, settings: Sequence[str], search: tuple[int, int] | None
) -> Recipe:
    changed = recipe.with_changes(epochs=epochs, batch=batch).with_settings(list(settings))
    return changed.searching(*search) if search else changed


def _named(recipe: Recipe | str | Path) -> str:
    return OWN if isinstance(recipe, Recipe) else str(recipe)


def _start(weights: str | Path, baseline: object, law: object) -> Path:
    """The file of the weights to start from."""
    require_free_network(baseline, law)
    from convscale.dialects import find_weights_file  # PyTorch

    return find_weights_file(weights)
