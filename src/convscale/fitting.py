"""fit: the whole way in one call, from images and a budget to a trained and evaluated network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from convscale.catalog import network as find_network
from convscale.costs import cost
from convscale.data import Dataset, fit_to_images, open_dataset, typical_image
from convscale.data.image_files import describe_unused
from convscale.data.layouts import Layout
from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.flattening import AsDict
from convscale.headers import read_header
from convscale.machine import launched_processes, speaks
from convscale.networks import ConvNet
from convscale.openers import network as open_network
from convscale.planning import Budget, Plan, format_limit, plan, plan_resolution
from convscale.progress import print_line, print_note
from convscale.recipes import Recipe
from convscale.recipes import recipe as open_recipe
from convscale.records import Evaluation, FitRecord, write_record
from convscale.records.training import held_out_in_words
from convscale.runs import (
    Decision,
    Run,
    Story,
    claim,
    claim_next,
    format_call,
    next_run_path,
    release,
    require_free,
    weights_file,
)
from convscale.scaling import ScalingLaw
from convscale.units import format_count, format_seconds, printable

OWN = "as given"  # what a recipe without a name is called

# The longest typical shorter side in pixels -> baseline, its resolution, recipe, and why.
CHOICES: tuple[tuple[float, str, int, str, str], ...] = (
    (16, "small-mbconv", 16, "digits", "a small stride keeps the detail of tiny images"),
    (64, "small-mbconv", 32, "small-images", "a small stride keeps the detail of small images"),
    (float("inf"), "efficientnet-b0", 224, "photos", "the paper's baseline, found for photographs"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Choice(Displayed):
    """A baseline and recipe for some images, and the reason in words."""

    baseline: ConvNet
    recipe_name: str
    reason: str

    def _display(self) -> Display:
        """In one line."""
        return Display(f"Choice of {self.baseline.name} and recipe {self.recipe_name}: {self.reason}")


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
        record = self.run.result()
        return self.recipe.epochs if record is None else record.epochs

    def _display(self) -> Display:
        """The summary."""
        lines = [line.split(maxsplit=1) if line[0] != " " else ("", line.strip()) for line in self.summary()]
        return Display(f"Fit {self.run.path}", rows=tuple((name, text) for name, text in lines))

    @property
    def record(self) -> FitRecord:
        """All of it as plain data: what fit.json of the run folder holds."""
        return FitRecord(
            run=str(self.run.path),
            data=self.dataset.record(),
            baseline=self.choice.baseline,
            reason=self.choice.reason,
            recipe_name=self.choice.recipe_name,
            recipe=self.recipe,
            plan=self.plan,
            epochs=self.epochs,
            training_seconds=self.training_seconds,
            evaluation=self.evaluation,
        )

    def summary(self) -> list[str]:
        """What was chosen and why, how good it is, and what to do next, in ten lines."""
        data = self.dataset
        return [
            *plan_lines(data, self.choice, self.plan),
            f"training   {self.epochs} epochs of recipe {self.choice.recipe_name} in "
            f"{format_seconds(self.training_seconds)}",
            f"accuracy   {self.evaluation.in_words(data.metric, '95% interval ')} on {self.evaluation.n:,} held-out "
            "images",
            f"run        {self.run.path}",
            f"next       convscale predict {self.run.path} IMAGE...",
            f"           convscale eval {self.run.path} --data {data.source}",
        ]


def plan_lines(data: Dataset, choice: Choice, plan: Plan) -> list[str]:
    """What is known before training, in five lines: data, baseline, law, network and budget."""
    chosen, base = plan.chosen, plan.baseline
    used = ", ".join(
        f"{share:.1%} of {key} {format_limit(key, plan.budget.limits()[key])}" for key, share in chosen.used.items()
    )
    held_out = held_out_in_words(data.held_out, len(data.test), 0 if data.validation is None else len(data.validation))
    unused = f"; not used: {', '.join(data.skipped)}" if data.skipped else ""
    repeats = "-".join(str(stage.repeats) for stage in chosen.network.stages)
    widths = "-".join(str(stage.channels) for stage in chosen.network.stages)
    ratio = chosen.cost.macs / cost(base).macs
    times = f"{ratio:.3g} times the baseline's" if ratio >= 1 else f"{1 / ratio:.3g} times fewer than the baseline's"
    return [
        f"data       {len(data.train):,} training images of {len(data.classes)} classes; {held_out}{unused}",
        f"baseline   {choice.baseline.name}: {choice.reason}",
        f"law        {plan.law.name}, phi {chosen.phi:.2f}: {base.num_blocks} -> {chosen.network.num_blocks} blocks, "
        f"width x{chosen.scaling.width:.2f}, {base.resolution} -> {chosen.network.resolution} px",
        f"network    {chosen.network.resolution} px, repeats {repeats}, channels {widths}, "
        f"{format_count(chosen.cost.params)} params, {format_count(chosen.cost.macs)} MACs, {times}",
        f"budget     {used}; {'binding' if plan.spent else 'closest'}: {', '.join(plan.binding)}",
    ]


def fit(
    data: str | Path,
    budget: Budget,
    *,
    baseline: ConvNet | str | Path | None = None,
    weights: str | Path | None = None,
    law: ScalingLaw | None = None,
    recipe: Recipe | str | Path | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    set: Sequence[str] = (),
    search: tuple[int, int] | None = None,
    output: str | Path | None = None,
    seed: int = 0,
    workers: int = 0,
    label_column: str = "label",
    exclude: str | Path | None = None,
    layout: Layout | None = None,
    stored_range: tuple[float, float] | None = None,
    resolution: int | None = None,
    max_resolution: int | None = None,
    resolution_step: int = 1,
    quiet: bool = False,
    command: str | None = None,
    recipe_name: str | None = None,
    changes: Sequence[str] = (),
) -> Fit:
    """Choose a baseline for the images, plan it to the budget, train it, evaluate it on held-out images.

    The run goes to `output`, or to the first free runs/NAME-N; interrupted, it can be resumed. It keeps the plan, what
    was chosen and why, and the call, or the `command` that stands for it. `baseline` is whatever `convscale.network`
    opens, `recipe` a recipe, its name or its file, and `set` are changes of it, each KEY=VALUE (`recipe_name` and
    `changes` are their older names). `search` says how many learning rates and weight decays to try
    (`Recipe.searching`), `exclude` lists images to leave out, `layout` says what folders are (`open_dataset`), and
    `stored_range` are the values in image files that become 0 and 255. With `weights`, a run or weights file, its
    network is trained on from there, by recipe finetune unless another is named, at the largest resolution up to its
    own that keeps the budget. `resolution`, `max_resolution` and `resolution_step` limit the input side, in pixels, as
    in `plan`.

    Raises the errors of `open_dataset`, `plan` and `train`; what can be known beforehand is said before training
    starts.
    """
    dataset = open_dataset(data, seed=seed, label_column=label_column, exclude=exclude, layout=layout)
    if not quiet and speaks():  # before hours of training
        for note in describe_unused(dataset.not_used):
            print_note(printable(note))
    choice = choose(dataset, baseline) if weights is None else _chosen_by_weights(dataset, Path(weights), baseline, law)
    asked = recipe if recipe is not None else recipe_name
    if asked is not None:
        choice = replace(choice, recipe_name=OWN if isinstance(asked, Recipe) else str(asked))
    named = asked if isinstance(asked, Recipe) else open_recipe(choice.recipe_name)
    chosen_recipe = named.with_changes(epochs=epochs, batch=batch).with_settings([*set, *changes])
    chosen_recipe = (chosen_recipe.searching(*search) if search else chosen_recipe).for_images(len(dataset.train))
    planned = (partial(plan, law=law) if weights is None else plan_resolution)(
        choice.baseline, budget,
        resolution=resolution, max_resolution=max_resolution, resolution_step=resolution_step,
    )  # fmt: skip
    if command is None:
        command = format_call(
            "convscale.fit", data, budget, baseline=getattr(baseline, "name", baseline), weights=weights, law=law,
            recipe=choice.recipe_name if asked is not None else None, epochs=epochs, batch=batch,
            set=(*set, *changes), search=search, output=output, seed=seed or None, workers=workers or None,
            exclude=exclude, layout=layout, stored_range=stored_range, resolution=resolution,
            max_resolution=max_resolution,
            resolution_step=resolution_step if resolution_step > 1 else None,
        )  # fmt: skip
    with _folder(output, dataset) as path:
        if not quiet and speaks():
            for line in (*plan_lines(dataset, choice, planned), f"run        {path}"):
                print_line(line)
        from convscale.training import train  # PyTorch is loaded once everything else is known to be right

        started = time.monotonic()
        run, evaluation = train(
            planned.network,
            dataset,
            chosen_recipe,
            path,
            quiet=quiet,
            story=Story(command=command, decisions=_decisions(choice, planned, asked=asked is not None)),
            plan=planned,
            seed=seed,
            workers=workers,
            weights=None if weights is None else str(Path(weights).absolute()),
            exclude=None if exclude is None else str(Path(exclude).absolute()),
            stored_range=stored_range,
            changed=tuple(chosen_recipe.for_network(planned.network).changes_from(named)),
        )
    seconds = time.monotonic() - started
    done = Fit(run, choice, planned, chosen_recipe, evaluation, seconds, dataset)
    if speaks():  # of several processes that train together one writes
        write_record(run.path / "fit.json", done.record)
    return done


@contextmanager
def _folder(output: str | Path | None, dataset: Dataset) -> Iterator[Path]:
    """The run's folder, claimed now: it may be minutes until something is written there. Of several processes that
    train together, each must come to the same name: there the first one claims it when it makes the run."""
    parent, name = Path("runs"), Path(dataset.source).stem
    if launched_processes() > 1:
        path = next_run_path(parent, name) if output is None else Path(output)
        require_free(path)
        yield path
        return
    if output is None:
        path = claim_next(parent, name)
    else:
        claim(path := Path(output))
    try:
        yield path
    finally:
        release(path)


def _decisions(choice: Choice, planned: Plan, *, asked: bool) -> tuple[Decision, ...]:
    """What is chosen before training, and why."""
    chosen, law = planned.chosen, planned.law
    best = "the nearest to it that spends the budget" if planned.spent else "what comes closest to the budget"
    by_law = f"{law.name} law at phi {chosen.phi:.2f}, {best}"
    if planned.naive is None and law.name == "resolution":
        by_law = "the largest up to that of the weights that keeps the budget"
    return (
        Decision("baseline", choice.baseline.name, choice.reason),
        Decision("recipe", choice.recipe_name, "as asked" if asked else choice.reason),
        Decision("resolution", f"{chosen.network.resolution} px", by_law),
    )


def _chosen_by_weights(
    dataset: Dataset, weights: Path, baseline: ConvNet | str | Path | None, law: ScalingLaw | None
) -> Choice:
    if baseline is not None or law is not None:
        raise ConfigError("weights decide the network: no baseline and no law goes with them", hint="leave one out")
    network = read_header(weights_file(weights)).network
    return Choice(network.with_classes(len(dataset.classes)), "finetune", "the network of its weights")


def choose(dataset: Dataset, baseline: ConvNet | str | Path | None = None) -> Choice:
    """A baseline and a recipe by the images' typical size; a given `baseline` is opened and taken as it is, with the
    data's number of classes and, for grey images, one input channel."""
    side, _ = typical_image(dataset.train)
    name, resolution, recipe_name, why = next(row[1:] for row in CHOICES if side <= row[0])
    if baseline is None:
        network = find_network(name)
        if resolution != network.resolution:
            network = replace(network, name=f"{name}-{resolution}px", resolution=resolution)
        reason = f"images are about {side:.0f} px; {why}"
    else:
        network = open_network(baseline)
        reason = "as asked"
    fitted = fit_to_images(network, dataset, quiet=True)  # the training names what it skips
    if fitted.input_channels not in (1, 3):
        reason += f"; images of {fitted.input_channels} channels"
    return Choice(fitted, recipe_name, reason)
