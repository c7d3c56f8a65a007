"""Studies whose trainings are drawn from planted accuracies, fast enough for thousands of repetitions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import convscale as cs
from convscale.records import StudyResult, TrialRecord, TrialResult
from convscale.scaling import Scaling
from convscale.studies.collecting import collect
from convscale.studies.designs import Design, HeldOut, Point

COSTS = (4.0, 6.0, 8.0, 12.0)
Draw = Callable[[int, int, int], TrialResult | None]  # of a place, epochs and a seed


def design(*, seeds: int = 3, images: int = 0, costs: tuple[float, ...] = COSTS, **changes: Any) -> Design:
    """The shipped table7: a baseline and four methods at each cost, 17 networks, here of no true cost at all."""
    spec = replace(cs.read_study("table7"), seeds=seeds, costs=costs, **changes)
    base = cs.network("small-mbconv")
    planned = [(method.title, cost) for cost in costs for method in spec.methods]
    points = [
        Point(base.name, method, asked, Scaling(), None, base.at_resolution(16 + place), 100, 10, asked or 1.0)
        for place, (method, asked) in enumerate([("baseline", None), *planned])
    ]
    return Design(spec, tuple(points), (), held_out=HeldOut(images, 0.1) if images else None)


@dataclass(frozen=True)
class Records(Mapping[tuple[Point, int, int], TrialRecord]):
    """Records that are drawn when they are asked for."""

    places: dict[int, int]
    draw: Draw

    def get(self, key: tuple[Point, int, int], default: Any = None) -> Any:
        point, epochs, seed = key
        result = self.draw(self.places[id(point)], epochs, seed)
        failure = "" if result else "DataError: planted"
        return TrialRecord(key="", number=0, attempts=1, run="", result=result, failure=failure)

    def __getitem__(self, key: tuple[Point, int, int]) -> TrialRecord:
        found: TrialRecord = self.get(key)
        return found

    def __iter__(self) -> Iterator[tuple[Point, int, int]]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def collected(made: Design, draw: Draw) -> StudyResult:
    return collect(made, Records({id(point): place for place, point in enumerate(made.points)}, draw))


def result(accuracy: float, **fields: Any) -> TrialResult:
    return TrialResult(accuracy=accuracy, interval95=(0.0, 1.0), steps=10, device_seconds=1.0, **fields)


def noisy(
    made: Design, generator: random.Random, noise: Callable[[Point], float], *, seed_effect: float = 0.0, **lead: float
) -> StudyResult:
    """A study in which every network is as good as every other, but for those of the methods in `lead`."""
    effects: dict[tuple[int, int], float] = {}
    means = [0.85 + lead.get(point.method, 0.0) for point in made.points]
    noises = [noise(point) for point in made.points]

    def draw(place: int, epochs: int, seed: int) -> TrialResult:
        if seed_effect and (epochs, seed) not in effects:
            effects[epochs, seed] = generator.gauss(0, seed_effect)
        return result(means[place] + effects.get((epochs, seed), 0.0) + generator.gauss(0, noises[place]))

    return collected(made, draw)
