"""fit: the whole way in one call, from images and a budget to a trained and evaluated network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from convscale.catalog import network as find_network
from convscale.data import Dataset, fit_to_images, open_dataset, typical_image
from convscale.errors import ConfigError
from convscale.headers import read_header
from convscale.networks import ConvNet
from convscale.planning import Budget, Plan, format_limit, plan, plan_resolution
from convscale.recipes import Recipe, recipe
from convscale.records import Evaluation
from convscale.runs import Run, next_run_path, require_free, weights_file
from convscale.scaling import ScalingLaw
from convscale.units import format_count, format_seconds

# The longest typical shorter side in pixels -> baseline, its resolution, recipe, and why.
CHOICES: tuple[tuple[float, str, int, str, str], ...] = (
    (16, "small-mbconv", 16, "digits", "a small stride keeps the detail of tiny images"),
    (64, "small-mbconv", 32, "small-images", "a small stride keeps the detail of small images"),
    (float("inf"), "efficientnet-b0", 224, "photos", "the paper's baseline, found for photographs"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A baseline and recipe for some images, and the reason in words."""

    baseline: ConvNet
    recipe_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What `fit` planned, trained and measured."""

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
        record = self.run.result()
        return self.recipe.epochs if record is None else record.epochs

    def summary(self) -> list[str]:
        """What was chosen and why, how good it is, and what to do next, in ten lines."""
        chosen, data = self.plan.chosen, self.dataset
        used = ", ".join(
            f"{share:.1%} of {key} {format_limit(key, self.plan.budget.limits()[key])}"
            for key, share in chosen.used.items()
        )
        binding = ", ".join(self.plan.binding)
        kept = "a drawn fifth" if data.held_out == "stratified" else f"its {data.held_out} split"
        unused = f"; not used: {', '.join(data.skipped)}" if data.skipped else ""
        repeats = "-".join(str(stage.repeats) for stage in chosen.network.stages)
        widths = "-".join(str(stage.channels) for stage in chosen.network.stages)
        return [
            f"data       {len(data.train):,} training images of {len(data.classes)} classes; "
            f"{len(data.test):,} held out ({kept}){unused}",
            f"baseline   {self.choice.baseline.name}: {self.choice.reason}",
            f"law        {self.plan.law.name}, phi {chosen.phi:.2f}: {self.plan.baseline.num_blocks} -> "
            f"{chosen.network.num_blocks} blocks, width x{chosen.scaling.width:.2f}, "
            f"{self.plan.baseline.resolution} -> {chosen.network.resolution} px",
            f"network    {chosen.network.resolution} px, repeats {repeats}, channels {widths}, "
            f"{format_count(chosen.cost.params)} params, {format_count(chosen.cost.macs)} MACs",
            f"budget     {used}; {'binding' if self.plan.spent else 'closest'}: {binding}",
            f"training   {self.epochs} epochs of recipe {self.choice.recipe_name} in "
            f"{format_seconds(self.training_seconds)}",
            f"accuracy   {self.evaluation.in_words(data.metric, '95% interval ')} on {self.evaluation.n:,} held-out "
            "images",
            f"run        {self.run.path}",
            f"next       convscale predict {self.run.path} IMAGE...",
            f"           convscale eval {self.run.path} --data {data.source}",
        ]


def fit(
    data: str | Path,
    budget: Budget,
    *,
    baseline: str | ConvNet | None = None,
    weights: str | Path | None = None,
    law: ScalingLaw | None = None,
    recipe_name: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    search: tuple[int, int] | None = None,
    output: str | Path | None = None,
    seed: int = 0,
    workers: int = 0,
    label_column: str = "label",
    changes: Sequence[str] = (),
    exclude: str | Path | None = None,
    resolution: int | None = None,
    max_resolution: int | None = None,
    resolution_step: int = 1,
    quiet: bool = False,
) -> Fit:
    """Choose a baseline for the images, plan it to the budget, train it, evaluate it on held-out images.

    The run goes to `output`, or to the first free runs/NAME-N; interrupted, it can be resumed. `changes` are settings
    of the recipe, KEY=VALUE; `search` says how many learning rates and weight decays to try (`Recipe.searching`);
    `exclude` lists images to leave out. With `weights`, a run or weights file, its network is trained on from there,
    by recipe finetune unless another is named, at the largest resolution up to its own that keeps the budget.
    `resolution`, `max_resolution` and `resolution_step` limit the input side, in pixels, as in `plan`.

    Raises the errors of `open_dataset`, `plan` and `train`; what can be known beforehand is told before training
    starts.
    """
    dataset = open_dataset(data, seed=seed, label_column=label_column, exclude=exclude)
    choice = choose(dataset, baseline) if weights is None else _chosen_by_weights(dataset, Path(weights), baseline, law)
    if recipe_name is not None:
        choice = replace(choice, recipe_name=recipe_name)
    named = recipe(choice.recipe_name)
    chosen_recipe = named.with_changes(epochs=epochs, batch=batch).with_settings(list(changes))
    if search is not None:
        chosen_recipe = chosen_recipe.searching(*search)
    chosen_recipe = chosen_recipe.for_images(len(dataset.train))
    planned = (partial(plan, law=law) if weights is None else plan_resolution)(
        choice.baseline, budget,
        resolution=resolution, max_resolution=max_resolution, resolution_step=resolution_step,
    )  # fmt: skip
    path = Path(output) if output is not None else next_run_path(Path("runs"), Path(dataset.source).stem)
    require_free(path)
    from convscale.training import train  # PyTorch is loaded once everything else is known to be right

    started = time.monotonic()
    run, evaluation = train(
        planned.network,
        dataset,
        chosen_recipe,
        path,
        quiet=quiet,
        seed=seed,
        workers=workers,
        weights=None if weights is None else str(Path(weights).absolute()),
        exclude=None if exclude is None else str(Path(exclude).absolute()),
        changed=tuple(chosen_recipe.for_network(planned.network).changes_from(named)),
    )
    seconds = time.monotonic() - started
    return Fit(run, choice, planned, chosen_recipe, evaluation, seconds, dataset)


def _chosen_by_weights(
    dataset: Dataset, weights: Path, baseline: str | ConvNet | None, law: ScalingLaw | None
) -> Choice:
    if baseline is not None or law is not None:
        raise ConfigError("weights decide the network: no baseline and no law goes with them", hint="leave one out")
    network = read_header(weights_file(weights)).network
    return Choice(network.with_classes(len(dataset.classes)), "finetune", "the network of its weights")


def choose(dataset: Dataset, baseline: str | ConvNet | None = None) -> Choice:
    """A baseline and a recipe by the images' typical size; a given `baseline` is taken as it is, with the
    data's number of classes and, for grey images, one input channel."""
    side, _ = typical_image(dataset.train)
    name, resolution, recipe_name, why = next(row[1:] for row in CHOICES if side <= row[0])
    if baseline is None:
        network = find_network(name)
        if resolution != network.resolution:
            network = replace(network, name=f"{name}-{resolution}px", resolution=resolution)
        reason = f"images are about {side:.0f} px; {why}"
    else:
        network = baseline if isinstance(baseline, ConvNet) else find_network(baseline)
        reason = "as asked"
    return Choice(fit_to_images(network, dataset), recipe_name, reason)
