"""The trainings of a study after one length: their noise, and which networks learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convscale.records import BASELINE, Noise
from convscale.statistics import MeanEstimate, PooledNoise, Spread, holm, unnoised, wilson_interval
from convscale.studies.designs import Design, Point
from convscale.trials.trial import TrialRecord, TrialResult

Records = Mapping[tuple[Point, int, int], TrialRecord]  # by point, epochs and seed; those that have ended
Block = tuple[int, str, str]  # seed, kind of device, precision: differences are taken within them
Group = tuple[str, float]  # baseline and cost asked: what is compared


class Places:
    """The points of a design by their positions.

    networks: of each point, the first position with the same network, whose trainings are the same. baselines: of each
    point, the position of its baseline. groups: the methods of each baseline at each cost.
    """

    def __init__(self, design: Design) -> None:
        self.design, self.points = design, design.points
        first: dict[object, int] = {}
        self.networks = [first.setdefault(point.network, place) for place, point in enumerate(self.points)]
        of_name = {point.baseline: place for place, point in enumerate(self.points) if point.method == BASELINE}
        self.baselines = [of_name[point.baseline] for point in self.points]
        self.groups: dict[Group, list[int]] = {}
        for place, point in enumerate(self.points):
            if point.asked is not None:
                self.groups.setdefault((point.baseline, point.asked), []).append(place)

    def chance(self, place: int) -> float:
        """The accuracy of guessing."""
        held_out = self.design.held_out
        return 1 / self.points[place].network.num_classes if held_out is None else held_out.chance

    @property
    def images(self) -> int:
        """Held-out images, 0 where unknown."""
        return 0 if self.design.held_out is None else self.design.held_out.images


class Trainings:
    """What ended of one length, by place.

    estimates: mean accuracies, None where no training finished. learned: whether that is above chance by its interval
    and by that of the test images.
    """

    def __init__(self, places: Places, records: Records, epochs: int) -> None:
        self.places, self.epochs = places, epochs
        self.records: list[list[TrialRecord]] = []
        self.results: list[dict[int, TrialResult]] = []
        for point in places.points:
            keys = [(point, epochs, seed) for seed in range(places.design.spec.seeds)]
            found = {key[2]: record for key in keys if (record := records.get(key)) is not None}
            self.records.append(list(found.values()))
            self.results.append({seed: one.result for seed, one in found.items() if one.result is not None})
        self.accuracies = [
            {(seed, one.device, one.precision): one.accuracy for seed, one in results.items()}
            for results in self.results
        ]
        self.steps = next((one.steps for results in self.results for one in results.values() if one.steps), 0)
        self.noise, learned = self._noise()
        self.differences: dict[tuple[int, int], MeanEstimate | None] = {}
        self.learned = [own in learned for own in places.networks]
        self.estimates = [self.noise.row(own) if self.accuracies[own] else None for own in places.networks]

    def _noise(self) -> tuple[PooledNoise[Block], set[int]]:
        """The noise over the networks that learned, or over all where none did; and those, which still have by it."""
        points = self.places.points
        groupings: dict[str, Sequence[object]] = {
            "cost": [(one.baseline, one.asked) for one in points],
            "method": [one.method for one in points],
        }
        trained = {own for own in self.places.networks if self.accuracies[own]}
        resolution = 1 / self.places.images if self.places.images else 0.0
        learned = {own for own in trained if self._above_chance(own, None)}
        while True:
            noise = PooledNoise(self.accuracies, groupings, learned or trained, resolution)
            left = {own for own in learned if self._above_chance(own, noise.row(own).interval())}
            if left == learned:
                return noise, learned
            learned = left

    def _above_chance(self, own: int, interval: tuple[float, float] | None) -> bool:
        images, values = self.places.images, self.accuracies[own].values()
        mean = sum(values) / len(values)
        lows = [mean if interval is None else interval[0], wilson_interval(mean * images, images)[0] if images else 1.0]
        return unnoised(min(lows) - self.places.chance(own)) > 0

    def difference(self, a: int, b: int) -> MeanEstimate | None:
        """The accuracy of a minus that of b over their common seeds; None where no pair finished."""
        a, b = self.places.networks[a], self.places.networks[b]
        if a != b:
            if (a, b) not in self.differences:
                self.differences[a, b] = self.noise.difference(a, b)
            return self.differences[a, b]
        return MeanEstimate(0.0, (Spread(0.0, 1.0),), len(self.accuracies[a])) if self.accuracies[a] else None

    def noise_record(self) -> Noise:
        """What is recorded of the noise."""
        every, rows = self.noise.every, self.noise.row_spread
        return Noise(
            epochs=self.epochs,
            networks=len(self.noise.networks),
            spread=every.variance**0.5 if every.degrees else None,
            degrees=every.degrees,
            row_spread=rows.variance**0.5 if rows.degrees else None,
            row_degrees=rows.degrees,
            unequal_by=tuple(self.noise.unequal),
        )


def settled(places: Places, short: Trainings, long: Trainings) -> list[bool | None]:
    """Of each place, whether its difference from its baseline has not moved by more than noise from the one length to
    the other; None where that cannot be judged. All are judged together, so that noise flags one in 5 % of studies."""
    judged: list[bool | None] = [None] * len(places.points)
    moves: dict[int, MeanEstimate] = {}
    for place, base in enumerate(places.baselines):
        before, after = short.difference(place, base), long.difference(place, base)
        if before is None or after is None:
            continue
        if places.networks[place] == places.networks[base]:
            judged[place] = True
        elif (move := after.minus(before)).spreads:
            moves[place] = move
    for (place, move), confidence in zip(moves.items(), holm(list(moves.values())), strict=True):
        judged[place] = not move.certain(confidence)
    return judged
