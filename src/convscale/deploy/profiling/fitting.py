"""The numbers of a profile: fitted to networks that were timed, and judged on those left out.

Errors are relative everywhere: a network of 1 ms counts as much as one of 100 ms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from convscale.costs.latency import predicted_seconds
from convscale.costs.latency_model import (
    SHORTEST,
    LatencyModel,
    Law,
    ModelPredictor,
    TableLookup,
    TimedStep,
    law_seconds,
    step_point,
)
from convscale.costs.steps import KINDS, TERMS, StepSize, block_steps
from convscale.errors import ConfigError
from convscale.layers import LayerGraph, resolve
from convscale.records.profiles import ProfiledNetwork, ProfileFit

FOLDS = 10
LEAST_NETWORKS = 8  # fewer say too little about ten kinds of steps
LEAST_TIMED = 8  # steps of a kind, from which a table is worth its name
SAME = 1.0  # of the coordinates of `step_point`: steps this near to one another make one entry
# Kinds that a profile may have met nowhere, and the kind whose seconds they then take.
LIKE = {
    "add": "global pool", "max pool": "global pool", "grouped": "dense", "dense": "pointwise", "squeeze": "global pool",
    "strided depthwise": "depthwise", "depthwise": "pointwise", "linear": "pointwise", "global pool": "pointwise",
}  # fmt: skip


class Sample(NamedTuple):
    """A network that was timed: its graph, the sizes of its steps by their full names, and its times."""

    graph: LayerGraph
    steps: Mapping[str, StepSize]
    seconds: float
    timed: Mapping[str, float]


def sample(timed: ProfiledNetwork) -> Sample:
    """What a fit needs of a network."""
    graph = resolve(timed.network)
    steps = {f"{name}.{step.name}": step for name, block in graph.blocks() for step in block_steps(block)}
    return Sample(graph, steps, timed.seconds, timed.steps)


def fit_model(samples: Sequence[Sample]) -> LatencyModel:
    """The model that is nearest to these networks. Raises ConfigError for too few of them."""
    if len(samples) < LEAST_NETWORKS:
        raise ConfigError(
            f"a profile of {len(samples)} networks predicts nothing", hint=f"at least {LEAST_NETWORKS}; 60 are usual"
        )
    per_network, kinds = _regression(samples)
    laws, timed = _timed_tables(samples)
    lookup = TableLookup(laws, timed)
    timed_per_network, timed_factor = _scale(lookup, samples) if timed else (0.0, 1.0)
    model = LatencyModel(1.0, per_network, kinds, timed_factor, timed_per_network, laws, timed)
    predictor = ModelPredictor(model, lookup)
    off = [math.log(one.seconds / predicted_seconds(predictor, one.graph)) for one in samples]
    return replace(model, factor=math.exp(median(off)))


def fit_errors(samples: Sequence[Sample], folds: int = FOLDS) -> ProfileFit:
    """How far a model is off for networks that it was not fitted to."""
    parts = min(folds, len(samples))
    errors: list[float] = []
    for part in range(parts):
        known = [one for place, one in enumerate(samples) if place % parts != part]
        predictor = ModelPredictor(fit_model(known))
        errors += [
            abs(predicted_seconds(predictor, one.graph) / one.seconds - 1)
            for place, one in enumerate(samples)
            if place % parts == part
        ]
    return ProfileFit(float(np.quantile(errors, 0.5)), float(np.quantile(errors, 0.9)))


def _regression(samples: Sequence[Sample]) -> tuple[float, dict[str, Law]]:
    """Seconds of a network, and those of TERMS for each kind, from the times of whole networks."""
    sums = np.array([[1.0, *np.ravel(_sums(one))] for one in samples])
    found = _least_squares(sums, np.array([one.seconds for one in samples]))
    rows = {kind: row for kind, row in zip(KINDS, found[1:].reshape(len(KINDS), -1), strict=True)}
    met = {step.kind for one in samples for step in one.steps.values()}
    return float(found[0]), {kind: _row(rows[_met_kind(kind, met)]) for kind in KINDS}


def _sums(one: Sample) -> list[list[float]]:
    """TERMS added up over the steps of each kind."""
    sums = {kind: [0.0] * len(TERMS) for kind in KINDS}
    for step in one.steps.values():
        sums[step.kind] = [a + b for a, b in zip(sums[step.kind], step.terms(), strict=True)]
    return list(sums.values())


def _timed_tables(samples: Sequence[Sample]) -> tuple[dict[str, Law], dict[str, tuple[TimedStep, ...]]]:
    """The laws of the steps that were timed, and these steps, by kind; nothing where none were."""
    by_kind: dict[str, list[tuple[StepSize, float]]] = defaultdict(list)
    for one in samples:
        for name, seconds in one.timed.items():
            if name in one.steps:
                by_kind[one.steps[name].kind].append((one.steps[name], max(seconds, SHORTEST)))
    known = {kind: _table(timed) for kind, timed in by_kind.items() if len(timed) >= LEAST_TIMED}
    tables = {kind: known[like] for kind in KINDS if (like := _met_kind(kind, known.keys())) in known}
    return {kind: law for kind, (law, _) in tables.items()}, {kind: timed for kind, (_, timed) in tables.items()}


def _scale(lookup: TableLookup, samples: Sequence[Sample]) -> tuple[float, float]:
    """Seconds of a network, and what its steps' times in place are to be multiplied by."""
    summed = np.array([[1.0, sum(map(lookup.seconds, one.steps.values()))] for one in samples])
    per_network, factor = _least_squares(summed, np.array([one.seconds for one in samples]))
    return float(per_network), max(float(factor), SHORTEST)


def _table(timed: Sequence[tuple[StepSize, float]]) -> tuple[Law, tuple[TimedStep, ...]]:
    """The law of a kind, and its steps, those of nearly the same shape as one."""
    terms = np.array([step.terms() for step, _ in timed], dtype=float)
    law = _row(_least_squares(terms, np.array([seconds for _, seconds in timed])))
    cells: dict[tuple[int, ...], list[TimedStep]] = defaultdict(list)
    for step, seconds in timed:
        point = step_point(step)
        cell = tuple(round(value / SAME) for value in point)
        cells[cell].append((*point, math.log(seconds / law_seconds(law, step))))
    return law, tuple(map(_as_one, cells.values()))


def _as_one(steps: Sequence[TimedStep]) -> TimedStep:
    """The middle of their shapes, and the median of their ratios."""
    a, b, c, d, e, ratios = zip(*steps, strict=True)
    return fmean(a), fmean(b), fmean(c), fmean(d), fmean(e), median(ratios)


def _met_kind(kind: str, met: Any) -> str:
    """The kind itself where it was met, else the nearest that was; itself again where there is none."""
    like = kind
    while like not in met and like in LIKE:
        like = LIKE[like]
    return like if like in met else kind


def _least_squares(terms: Any, seconds: Any) -> Any:
    """The non-negative weights of `terms` whose sums are nearest to `seconds`, in relative terms."""
    from scipy.optimize import nnls

    relative = terms / seconds[:, None]
    scale = np.abs(relative).max(axis=0)
    scale[scale == 0] = 1.0
    weights, _ = nnls(relative / scale, np.ones(len(seconds)), maxiter=100 * terms.shape[1])
    return weights / scale


def _row(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
