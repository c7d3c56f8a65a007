"""Which methods of a study are better than which: every comparison of its greatest length, corrected together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from convscale.records import Claim, PairedDifference, PrimaryAnswer
from convscale.statistics import CANNOT_TELL, MeanEstimate, Spread, dunnett, holm, student_t
from convscale.studies.trainings import Group, Places, Trainings

ALL_PAIRS = 5  # up to this many methods every pair is shown, beyond it those with the best and those that can be told
MAX_SEEDS = 1000
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """A difference of two places after the greatest length, and the confidence of its adjusted interval."""

    estimate: MeanEstimate
    confidence: float

    @property
    def better(self) -> int:
        """1 where the first is better, -1 where the second is, 0 where neither can be told."""
        return int(math.copysign(self.estimate.certain(self.confidence), self.estimate.mean))


class Comparisons:
    """All pairs of methods of one baseline and cost whose rows count, after the greatest length, corrected together by
    Holm's procedure: in a study where all are equal, one is called better in at most 5 % of cases.

    All pairs of a group are counted however many of them are shown. Comparing with the best alone would save
    comparisons, but which one is the best, the same data say: a sentence that names two methods needs all pairs.
    """

    def __init__(self, places: Places, long: Trainings, counts: Sequence[bool]) -> None:
        self.places, self.long, self.counts = places, long, counts
        found: dict[tuple[int, int], MeanEstimate] = {}
        for members in places.groups.values():
            for a, b in combinations([one for one in members if counts[one]], 2):
                estimate = long.difference(a, b)
                if estimate is not None and estimate.spreads and places.networks[a] != places.networks[b]:
                    found[a, b] = estimate
        confidences = holm(list(found.values()), LEVEL)
        self.pairs = {
            pair: Compared(estimate, confidence)
            for (pair, estimate), confidence in zip(found.items(), confidences, strict=True)
        }

    def better(self, a: int, b: int) -> bool:
        """Whether a is better than b."""
        pair = self.pairs.get((min(a, b), max(a, b)))
        return pair is not None and pair.better == (1 if a < b else -1)

    def claims(self) -> Iterator[Claim]:
        """What is better than what."""
        for (a, b), pair in self.pairs.items():
            point, other = (self.places.points[place] for place in ((a, b) if pair.better > 0 else (b, a)))
            if pair.better and point.asked is not None:
                yield Claim(baseline=point.baseline, cost=point.asked, a=point.method, b=other.method)

    def differences(self, lengths: Iterable[Trainings]) -> Iterator[PairedDifference]:
        """What is shown, at every length."""
        for group, members in self.places.groups.items():
            shown = self._shown(members)
            for trainings in lengths:
                yield from (
                    difference for a, b in shown if (difference := self._difference(group, trainings, a, b)) is not None
                )

    def _shown(self, members: Sequence[int]) -> list[tuple[int, int]]:
        pairs = list(combinations(members, 2))
        if len(members) <= ALL_PAIRS:
            return pairs
        best = max(members, key=lambda one: self.counts[one] and self.mean(one))
        return [pair for pair in pairs if best in pair or (pair in self.pairs and self.pairs[pair].better)]

    def mean(self, place: int) -> float:
        """The mean accuracy after the greatest length; -1 where there is none."""
        estimate = self.long.estimates[place]
        return -1.0 if estimate is None else estimate.mean

    def _difference(self, group: Group, trainings: Trainings, a: int, b: int) -> PairedDifference | None:
        found = trainings.difference(a, b)
        if found is None:
            return None
        pair = self.pairs.get((a, b)) if trainings is self.long else None
        verdicts = {0: CANNOT_TELL, 1: "a is better", -1: "b is better"}
        return PairedDifference(
            baseline=group[0], asked=group[1], epochs=trainings.epochs, steps=trainings.steps,
            a=self.places.points[a].method, b=self.places.points[b].method,
            mean=found.mean, interval95=found.interval(), pairs=found.count,
            verdict=CANNOT_TELL if pair is None else verdicts[pair.better],
            seeds_to_tell=None if pair is None else seeds_to_tell(found, pair.confidence),
            adjusted_interval95=None if pair is None else found.interval(pair.confidence),
        )  # fmt: skip


def seeds_to_tell(found: MeanEstimate, confidence: float = 0.95) -> int | None:
    """How many seeds it would take to tell a difference of this mean and noise from none; None where these suffice, or
    1,000 would not."""
    if found.mean == 0 or not found.spreads or found.certain(confidence):
        return None

    def tells(seeds: int) -> bool:
        more = seeds / found.count
        spreads = tuple(Spread(one.variance / more, one.degrees * more) for one in found.spreads)
        return MeanEstimate(found.mean, spreads, seeds).certain(confidence)

    most = max(one.variance for one in found.spreads) * found.count
    fewest = math.ceil(most * (student_t(math.inf, confidence) / found.mean) ** 2)  # with noise that is known
    return next((seeds for seeds in range(max(found.count + 1, fewest), MAX_SEEDS + 1) if tells(seeds)), None)


def primary_answers(compared: Comparisons, reasons: Sequence[str]) -> list[PrimaryAnswer]:
    """The answers to the primary question, one for each baseline and cost that has the primary method. reasons: why a
    place does not count, "" where it does."""
    places, spec = compared.places, compared.places.design.spec
    asked = {
        group: next(one for one in members if places.points[one].method == spec.primary)
        for group, members in places.groups.items()
        if any(places.points[one].method == spec.primary for one in members)
    }
    confidence = 1 - LEVEL / max(1, len(asked))
    return [_answer(compared, group, primary, reasons, confidence) for group, primary in asked.items()]


def _answer(
    compared: Comparisons, group: Group, primary: int, reasons: Sequence[str], confidence: float
) -> PrimaryAnswer:
    places, spec = compared.places, compared.places.design.spec
    members = places.groups[group]
    others = [one for one in members if one != primary and not reasons[one]] if not reasons[primary] else []
    estimates = {one: found for one in others if (found := compared.long.difference(primary, one)) is not None}
    left_out = [f"{places.points[one].method} {reasons[one]}" for one in members if reasons[one]]
    left_out += [f"{places.points[one].method} shares no finished seed" for one in others if one not in estimates]
    left_out += [
        f"{one.method} has no network at this cost"
        for one in places.design.unreachable
        if (one.baseline, one.asked) == group
    ]
    best = min(estimates, key=lambda one: estimates[one].mean, default=None)
    interval = _simultaneous(list(estimates.values()), confidence)
    return PrimaryAnswer(
        baseline=group[0], cost=group[1], method=spec.primary,
        others=tuple(places.points[one].method for one in estimates),
        best_other="" if best is None else places.points[best].method,
        mean=None if best is None else estimates[best].mean, interval95=interval,
        verdict=_verdict(interval, spec.equivalence), left_out=tuple(left_out),
    )  # fmt: skip


def _simultaneous(estimates: Sequence[MeanEstimate], confidence: float) -> tuple[float, float] | None:
    """The interval of the least of several differences from one method, from Dunnett's intervals of all."""
    if not estimates or not all(one.spreads for one in estimates):
        return None
    halves = [
        max(
            dunnett(len(estimates), max(1, int(spread.degrees)), confidence) * math.sqrt(spread.variance)
            for spread in one.spreads
        )
        for one in estimates
    ]
    lows, highs = zip(
        *((one.mean - half, one.mean + half) for one, half in zip(estimates, halves, strict=True)), strict=True
    )
    return min(lows), min(highs)


def _verdict(interval: tuple[float, float] | None, equivalence: float) -> str:
    if interval is None:
        return CANNOT_TELL
    low, high = interval
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "equivalent" if -equivalence < low and high < equivalence else CANNOT_TELL
