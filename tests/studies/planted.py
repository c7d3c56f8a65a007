"""A small study and the accuracies planted in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import convscale as cs
from convscale.networks import ConvPool
from convscale.records import DataChoice, Method, StudyResult, StudySpec
from convscale.studies.running import run_study
from convscale.trials.trial import Trial, TrialResult
from tests import works
from tests.works import Inline

DIGITS = DataChoice(source="digits", train_images=100, test_images=50)
FOUR = tuple(Method(law=name) for name in ("compound", "depth", "width", "resolution"))


def _baseline() -> cs.ConvNet:
    """small-mbconv, changed so that at 4 and 8 times its cost each dimension alone has a network."""
    net = cs.network("small-mbconv")
    *rest, last = net.stages
    stages = (*rest, replace(last, channels=112))
    return replace(net, stem=replace(net.stem, channels=24), stages=stages, head=ConvPool(320), resolution=16)


BASE = _baseline()


def spec(**changes: Any) -> StudySpec:
    given: dict[str, Any] = {
        "name": "planted", "baselines": (BASE,), "resolution": 16, "methods": FOUR, "costs": (4.0,),
        "lengths": (1, 2), "seeds": 3, "recipe": "digits", "data": DIGITS,
    }  # fmt: skip
    return StudySpec(**(given | changes))


def plant(accuracy: Callable[[Trial], float]) -> Callable[[Trial, Path], TrialResult]:
    def work(trial: Trial, run: Path) -> TrialResult:
        works.begin(run)
        return works.result(accuracy(trial), steps=10 * trial.recipe.epochs)

    return work


def dimension(trial: Trial) -> str:
    """Which dimension of the baseline has grown most."""
    network, base = trial.network, BASE
    grown = {
        "depth": sum(stage.repeats for stage in network.stages) / sum(stage.repeats for stage in base.stages),
        "width": (network.stages[-1].channels / base.stages[-1].channels) ** 2,
        "resolution": (network.resolution / base.resolution) ** 2,
    }
    found = max(grown, key=lambda name: grown[name])
    return "baseline" if max(grown.values()) == 1 else "compound" if grown[found] < 2.5 else found


PLANTED = {"baseline": 0.5, "compound": 0.6, "width": 0.595, "resolution": 0.55, "depth": 0.4}


def accuracy(trial: Trial) -> float:
    """Compound first, width level with it and ahead after one epoch; a seed's noise is the same for all but width."""
    kind = dimension(trial)
    noise = (0.0, 0.01, -0.01)[trial.seed] * (-1 if kind == "width" else 1)
    early = 0.1 if kind == "width" and trial.recipe.epochs == 1 else 0.0
    return PLANTED[kind] + noise + early


def ran(folder: Path, study: StudySpec, planted: Callable[[Trial], float] = accuracy) -> StudyResult:
    return run_study(study, folder, Inline(plant(planted)), quiet=True)
