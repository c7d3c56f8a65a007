"""From a study to its networks, all at true cost, and to the trials that train them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from convscale.costs import cost
from convscale.data import fit_to_images
from convscale.data.dataset import Dataset
from convscale.data.images import Stream
from convscale.errors import BudgetError, ConfigError
from convscale.networks import ConvNet
from convscale.openers import network as open_network
from convscale.recipes import recipe
from convscale.records import BASELINE, StudySpec, Unreachable
from convscale.records.coefficients import Shares
from convscale.scaling import Scaling, scale
from convscale.search.coefficients import candidates_toward, shares_of
from convscale.trials.training_work import choose_images
from convscale.trials.trial import Trial


@dataclass(frozen=True, slots=True)
class Point:
    """A network of a study. asked: the cost that it was planned for, times the baseline's MACs; None for a baseline and
    for networks by explicit factors. cost_ratio: what it truly costs."""

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


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What accuracies are measured on: how many images, and the accuracy of guessing the same class for all of them."""

    images: int
    chance: float


@dataclass(frozen=True, slots=True)
class Design:
    """The networks of a study, and the methods that have none at their cost. held_out: None where it is unknown."""

    spec: StudySpec
    points: tuple[Point, ...]
    unreachable: tuple[Unreachable, ...]
    held_out: HeldOut | None = None

    def trials(self) -> dict[tuple[Point, int, int], Trial]:
        """(point, epochs, seed) -> trial; seeds outermost, so that an unfinished study has whole seeds."""
        spec, choice = self.spec, self.spec.choice()
        base = recipe(spec.recipe).with_settings(list(spec.settings)).for_images(len(choose_images(choice).train))
        recipes = {epochs: base.with_changes(epochs=epochs) for epochs in spec.lengths}
        return {
            (point, epochs, seed): Trial(network=point.network, recipe=recipes[epochs], data=choice, seed=seed)
            for seed in range(spec.seeds)
            for epochs in spec.lengths
            for point in self.points
        }


def design(spec: StudySpec, *, planted: bool = False) -> Design:
    """Resolve every network of `spec` for its images; `planted`, as the baselines are, without images.

    Raises BudgetError where nothing but baselines is left, ConfigError where two baselines share a name, and the errors
    of names, laws and data.
    """
    dataset = None if planted else choose_images(spec.choice())
    baselines = [open_network(source) for source in spec.baselines]
    names = [network.name for network in baselines]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"study {spec.name!r}: two baselines are called {twice[0]!r}", hint="change the name in one of their tables"
        )
    found = [one for network in baselines for one in _points(spec, network, dataset)]
    points = tuple(one for one in found if isinstance(one, Point))
    unreachable = tuple(one for one in found if isinstance(one, Unreachable))
    if all(point.method == BASELINE for point in points):
        reasons = "; ".join(f"{one.baseline}, {one.method}: {one.reason}" for one in unreachable[:4])
        raise BudgetError(
            f"study {spec.name!r}: no method reaches its cost: {reasons}", hint="try other costs or another baseline"
        )
    return Design(spec, points, unreachable, None if dataset is None else _held_out(dataset))


def _held_out(dataset: Dataset) -> HeldOut:
    chance, images = 1 / len(dataset.classes), len(dataset.test)
    if dataset.metric == "top1" and not isinstance(dataset.test, Stream):
        chance = max(chance, int(np.bincount(dataset.test.labels).max()) / images)
    return HeldOut(images, chance)


def _points(spec: StudySpec, network: ConvNet, dataset: Dataset | None) -> Iterator[Point | Unreachable]:
    sized = network if spec.resolution is None else network.at_resolution(spec.resolution)
    baseline = sized if dataset is None else fit_to_images(sized, dataset)
    yield _point(baseline, BASELINE, None, Scaling(), baseline)
    for asked in spec.costs:
        wanted = [shares_of(method.scaling_law()(1.0)) for method in spec.methods]
        for method, one in zip(spec.methods, candidates_toward(baseline, asked, wanted), strict=True):
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
