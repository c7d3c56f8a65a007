"""A device's latency as numbers: what its kinds of steps take, and steps that were timed on it.

Two models, and the geometric mean of both. The *regression* adds up the steps of each kind (`TERMS`) at seconds each,
none of them negative. The *table* has steps timed in place, each as the ratio of its time to a simple law of its
kind; a new step takes its law's time by the mean ratio of all, the nearest weighing most. Where no steps were timed
the regression stands alone. Both give seconds for a block, and those of a network are the sum of its blocks'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul

from convscale.costs.steps import TERMS, StepSize, block_steps
from convscale.errors import ConfigError
from convscale.layers import BlockGraph

SHORTEST = 1e-8  # seconds: no step takes less
NEAREST = 0.1  # of a squared distance: that of a step of the very same shape

Law = tuple[float, ...]
TimedStep = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Numbers alone.

    factor: what both models together are off by. per_network: seconds that a network takes besides its steps, by the
    regression. kinds: seconds for each of TERMS, by kind. laws: the same for the steps that were timed. timed: these
    steps by kind, each as the logs of its area, its input and its output channels, half its kernel, 1 for an activation
    that is more than a comparison, and the log of its time over its law's; several of nearly one shape are one. No
    kinds: none were timed. timed_factor and timed_per_network: what makes times in place those of a network that runs
    undisturbed, since reading a clock takes time too.
    """

    factor: float
    per_network: float
    kinds: dict[str, Law]
    timed_factor: float
    timed_per_network: float
    laws: dict[str, Law]
    timed: dict[str, tuple[TimedStep, ...]]


def step_point(step: StepSize) -> tuple[float, float, float, float, float]:
    """Where a step lies among those of its kind."""
    sizes = (2 * math.log(step.side), math.log(step.in_channels), math.log(step.out_channels))
    return (*sizes, step.kernel / 2, float(step.smooth))


class TableLookup:
    """Seconds of steps by steps that were timed. What was looked up is kept."""

    def __init__(self, laws: Mapping[str, Law], timed: Mapping[str, Sequence[TimedStep]]) -> None:
        self._laws, self._timed = laws, timed
        self._known: dict[tuple[int | str | bool, ...], float] = {}

    def seconds(self, step: StepSize) -> float:
        """Its law's by the mean ratio of the steps of its kind, the nearest weighing most."""
        key = step[1:]  # without its name
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._look_up(step)
        return found

    def _look_up(self, step: StepSize) -> float:
        timed = self._timed.get(step.kind)
        if not timed:
            return SHORTEST
        a, b, c, d, e = step_point(step)
        weights = total = 0.0
        for p, q, r, s, t, log_ratio in timed:
            near = NEAREST + (p - a) ** 2 + (q - b) ** 2 + (r - c) ** 2 + (s - d) ** 2 + (t - e) ** 2
            weight = 1 / (near * near * near)
            weights += weight
            total += weight * log_ratio
        return law_seconds(self._laws.get(step.kind), step) * math.exp(total / weights)


class ModelPredictor:
    """A LatencyPredictor of a model: `seconds` of a block. Raises ConfigError for a model that no fit gives."""

    def __init__(self, model: LatencyModel, lookup: TableLookup | None = None) -> None:
        _require_sound(model)
        self.model = model
        self._lookup = lookup or TableLookup(model.laws, model.timed)

    def seconds(self, block: BlockGraph) -> float:
        """The seconds that a block takes."""
        model, steps, stem = self.model, block_steps(block), block.kind == "stem"
        summed = sum(law_seconds(model.kinds.get(step.kind), step) for step in steps) + model.per_network * stem
        if not model.timed:
            return model.factor * summed
        looked_up = model.timed_factor * sum(map(self._lookup.seconds, steps)) + model.timed_per_network * stem
        return model.factor * math.sqrt(summed * looked_up)


def law_seconds(seconds: Sequence[float] | None, step: StepSize) -> float:
    """What a kind's law gives a step; next to nothing where there is none."""
    if seconds is None:
        return SHORTEST
    return max(math.fsum(map(mul, seconds, step.terms())), SHORTEST)


def _require_sound(model: LatencyModel) -> None:
    """Raise ConfigError for what no fit gives."""
    laws = [*model.kinds.values(), *model.laws.values()]
    least = [model.per_network, model.timed_per_network, *(each for law in laws for each in law)]
    if any(len(law) != len(TERMS) for law in laws) or min(least) < 0 or min(model.factor, model.timed_factor) <= 0:
        raise ConfigError(
            "the latency model of this profile is damaged: it needs seconds of 0 or more for each of "
            f"{', '.join(TERMS)}",
            hint="make the profile again with `convscale profile`",
        )
