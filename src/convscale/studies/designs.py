"""From a study to its networks, all at true cost, and to the trials that train them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from convscale.costs import cost
from convscale.data import fit_to_images
from convscale.data.dataset import Dataset
from convscale.data.images import Stream
from convscale.errors import BudgetError, ConfigError
from convscale.networks import ConvNet
from convscale.openers import network as open_network
from convscale.recipes import Recipe, recipe
from convscale.recipes.rates import further_rates, rates_to_try, short
from convscale.records import BASELINE, CURRENCIES, DataChoice, RateChoice, StudySpec, Unreachable
from convscale.records.coefficients import Shares
from convscale.scaling import Scaling, scale
from convscale.search.coefficients import candidates_toward, equal_candidates, shares_of
from convscale.search.coefficients.equal import Measure
from convscale.studies.currencies import TOLERANCES, Seconds, activations
from convscale.trials.training_work import choose_images, fingerprint_of
from convscale.trials.trial import Trial


@dataclass(frozen=True, slots=True)
class Point:
    """A network of a study. asked: the cost that it was planned for, in the study's currency, times the baseline's;
    None for a baseline and for networks by explicit factors. cost_ratio: its MACs, times the baseline's."""

    JSON: ClassVar = ("baseline", "method", "network=network.name", "macs", "params", "cost_ratio")

    baseline: str
    method: str
    asked: float | None
    scaling: Scaling
    shares: Shares | None
    network: ConvNet
    macs: int
    params: int
    cost_ratio: float


Found = Mapping[Point, Mapping[float, float | None]]  # learning rate -> accuracy, None of a training that failed


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What accuracies are measured on: how many images, and the accuracy of guessing the same class for all of them."""

    images: int
    chance: float


@dataclass(frozen=True, slots=True)
class Design:
    """The networks of a study, and the methods that have none at their cost. rates: of each network, where they are
    tuned and have been chosen. held_out: None where it is unknown."""

    spec: StudySpec
    points: tuple[Point, ...]
    unreachable: tuple[Unreachable, ...]
    rates: tuple[RateChoice, ...] = ()
    held_out: HeldOut | None = None

    def trials(self) -> dict[tuple[Point, int, int], Trial]:
        """(point, epochs, seed) -> trial; seeds outermost, so that an unfinished study has whole seeds."""
        spec, choice = self.spec, self.spec.choice()
        images, base = fingerprint_of(choice), recipe_of(spec, choice)
        rates = dict(zip(self.points, (one.chosen for one in self.rates), strict=True)) if self.rates else {}
        recipes = {
            (point, epochs): base.with_changes(epochs=epochs, learning_rate=rates.get(point))
            for point in self.points
            for epochs in spec.lengths
        }
        return {
            (point, epochs, seed): Trial(
                network=point.network, recipe=recipes[point, epochs], data=choice, seed=seed, images=images
            )
            for seed in range(spec.seeds)
            for epochs in spec.lengths
            for point in self.points
        }

    def scans(self, found: Found | None = None) -> dict[tuple[Point, float], Trial]:
        """(point, learning rate) -> the short training that judges it, by images drawn from the training images; none
        where the study tunes no rates. They are a tenth of the longest schedule, at least one epoch.

        found: what has come of those of earlier rounds. A point that is not in it has its first three rates, any other
        what `further_rates` gives: none once its best rate is enclosed.
        """
        if not self.spec.tune_rate:
            return {}
        found = found or {}
        choice = replace(self.spec.choice(), tuning=True)
        images, base = fingerprint_of(choice), recipe_of(self.spec, choice)
        brief = short(base.with_changes(epochs=self.spec.lengths[-1]))
        bases = {point.baseline: point.network for point in self.points if point.method == BASELINE}
        return {
            (point, rate): Trial(
                network=point.network, recipe=replace(brief, learning_rate=rate), data=choice, seed=0, images=images
            )
            for point in self.points
            for rate in (
                further_rates(found[point])
                if point in found
                else rates_to_try(brief, point.network, bases[point.baseline])
            )
        }


def recipe_of(spec: StudySpec, choice: DataChoice) -> Recipe:
    """The recipe of a study, for as many images as there are. Raises as `recipe` and `choose_images` do."""
    return recipe(spec.recipe).with_settings(list(spec.settings)).for_images(len(choose_images(choice).train))


def design(spec: StudySpec, folder: Path | None = None, *, planted: bool = False) -> Design:
    """Resolve every network of `spec` for its images; `planted`, as the baselines are, without images. folder: where
    seconds that are measured for it are kept.

    Raises BudgetError where nothing but baselines is left or, unless that is allowed, fewer than two methods reach a
    cost, ConfigError where two baselines share a name or seconds are to be equal without images, and the errors of
    names, laws and data.
    """
    dataset = None if planted else choose_images(spec.choice())
    baselines = [open_network(source) for source in spec.baselines]
    names = [network.name for network in baselines]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"study {spec.name!r}: two baselines are called {twice[0]!r}", hint="change the name in one of their tables"
        )
    measure = _measure(spec, dataset, folder)
    found = [one for network in baselines for one in _points(spec, network, dataset, measure)]
    points = tuple(one for one in found if isinstance(one, Point))
    unreachable = tuple(one for one in found if isinstance(one, Unreachable))
    if all(point.method == BASELINE for point in points):
        reasons = "; ".join(f"{one.baseline}, {one.method}: {one.reason}" for one in unreachable[:4])
        raise BudgetError(
            f"study {spec.name!r}: no method reaches its cost: {reasons}", hint="try other costs or another baseline"
        )
    _require_two(spec, points, unreachable)
    return Design(spec, points, unreachable, held_out=None if dataset is None else _held_out(dataset))


def _measure(spec: StudySpec, dataset: Dataset | None, folder: Path | None) -> Measure | None:
    """What networks cost in the study's currency, None for MACs."""
    if spec.equal == "macs":
        return None
    if spec.equal == "activations":
        return activations
    if dataset is None:
        raise ConfigError(
            f"study {spec.name!r}: seconds are measured on images, and a planted study has none",
            hint='equal = "macs" or "activations"',
        )
    return Seconds(dataset, recipe_of(spec, spec.choice()), folder)


def _require_two(spec: StudySpec, points: Sequence[Point], unreachable: Sequence[Unreachable]) -> None:
    """Raise BudgetError where a cost has fewer than two methods left of several, unless that is allowed."""
    if len(spec.methods) < 2 or spec.allow_missing:
        return
    for baseline in dict.fromkeys(point.baseline for point in points):
        for asked in spec.costs:
            there = [one.method for one in points if (one.baseline, one.asked) == (baseline, asked)]
            missing = [one for one in unreachable if (one.baseline, one.asked) == (baseline, asked)]
            if len(there) < 2:
                reasons = "; ".join(f"{one.method}: {one.reason}" for one in missing)
                raise BudgetError(
                    f"study {spec.name!r}: at {asked:g} times the {CURRENCIES[spec.equal]} of {baseline} "
                    f"{f'only {there[0]}' if there else 'no method'} has a network: {reasons}",
                    hint="other costs: --costs C,C,...; or run without what is missing: --allow-missing",
                )


def _held_out(dataset: Dataset) -> HeldOut:
    chance, images = 1 / len(dataset.classes), len(dataset.test)
    if dataset.metric == "top1" and not isinstance(dataset.test, Stream):
        chance = max(chance, int(np.bincount(dataset.test.labels).max()) / images)
    return HeldOut(images, chance)


def _points(
    spec: StudySpec, network: ConvNet, dataset: Dataset | None, measure: Measure | None
) -> Iterator[Point | Unreachable]:
    sized = network if spec.resolution is None else network.at_resolution(spec.resolution)
    baseline = sized if dataset is None else fit_to_images(sized, dataset)
    yield _point(baseline, BASELINE, None, Scaling(), baseline)
    for asked in spec.costs:
        wanted = [shares_of(method.scaling_law()(1.0)) for method in spec.methods]
        if measure is None:
            candidates = candidates_toward(baseline, asked, wanted)
        else:
            candidates = equal_candidates(baseline, asked, wanted, measure, tolerance=TOLERANCES[spec.equal])
        for method, one in zip(spec.methods, candidates, strict=True):
            if isinstance(one, str):
                yield Unreachable(baseline.name, method.title, asked, one)
            else:
                yield _point(baseline, method.title, asked, one.scaling, one.network, one.actual)
    for curve in spec.curves:
        for point in curve.points:
            try:
                scaling = Scaling(*point)
                scaled = baseline if scaling == Scaling() else scale(baseline, scaling)
                yield _point(baseline, curve.name, None, scaling, scaled)
            except ConfigError as error:
                yield Unreachable(baseline.name, curve.name, None, f"{point}: {error}")


def _point(
    baseline: ConvNet,
    method: str,
    asked: float | None,
    scaling: Scaling,
    network: ConvNet,
    shares: Shares | None = None,
) -> Point:
    own, base = cost(network), cost(baseline)
    return Point(baseline.name, method, asked, scaling, shares, network, own.macs, own.params, own.macs / base.macs)
