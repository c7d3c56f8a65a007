"""The baseline and the recipe that suit some images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from convscale.catalog import network as find_network
from convscale.data import Dataset, fit_to_images, typical_image
from convscale.display import Display, Displayed
from convscale.errors import BudgetError, ConfigError
from convscale.headers import read_header
from convscale.networks import ConvNet
from convscale.openers import network as open_network
from convscale.planning import Budget, Plan
from convscale.report.plans import keeps_network
from convscale.runs import Decision, weights_file

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


def chosen_by_weights(dataset: Dataset, weights: Path) -> Choice:
    """The network of a weights file or a run, with the data's classes, and the recipe that tunes it."""
    network = read_header(weights_file(weights)).network
    return Choice(network.with_classes(len(dataset.classes)), "finetune", "the network of its weights")


def require_budget_or_weights(budget: Budget | None, weights: object) -> None:
    """Raise BudgetError where nothing says how large the network is to be."""
    if budget is None and weights is None:
        raise BudgetError(
            "a budget needs at least one limit",
            hint="for example --macs 600M or --params 5M, or --weights NAME, which needs none",
        )


def require_free_network(baseline: object, law: object) -> None:
    """Raise ConfigError where a baseline or a law is given beside weights."""
    if baseline is not None or law is not None:
        raise ConfigError(
            "weights decide the network, so neither a baseline nor a law can be given", hint="leave out one of them"
        )


def decisions(choice: Choice, planned: Plan, *, asked: bool) -> tuple[Decision, ...]:
    """What is chosen before training, and why; `asked` where the recipe was."""
    chosen, law = planned.chosen, planned.law
    best = "the nearest to it that spends the budget" if planned.spent else "what comes closest to the budget"
    by_law = f"{law.name} law at phi {chosen.phi:.2f}, {best}"
    if keeps_network(planned):
        kept = "that keeps the budget" if planned.budget else "that is allowed; no limit was given"
        by_law = f"the largest up to that of the weights {kept}"
    return (
        Decision("baseline", choice.baseline.name, choice.reason),
        Decision("recipe", choice.recipe_name, "as asked" if asked else choice.reason),
        Decision("resolution", f"{chosen.network.resolution} px", by_law),
    )
