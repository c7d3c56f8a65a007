"""How far a training budget goes: how many seeds, how sharp a cut, how many finalists."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from convscale.records import Candidate
from convscale.search.coefficients.candidates import share_distance
from convscale.search.coefficients.halving import survivors

BALANCED = (1 / 3, 1 / 3, 1 / 3)
PROBE_SHARE = 0.4  # of the budget, at most, goes to finding out whether short trainings can be trusted


@dataclass(frozen=True, slots=True)
class HalvingPlan:
    """Halving from lengths[start]: `seeds` at each rung, the best 1/`reduction` of it promoted, `keep` at least.
    `probed` trainings of the first rung are already done; where it is not the last, it has `extra` more seeds."""

    lengths: tuple[int, ...]
    start: int
    seeds: int
    reduction: int
    keep: int
    final_seeds: int
    probed: int = 0
    extra: int = 0

    @property
    def first_seeds(self) -> int:
        """The seeds at the first rung."""
        return self.seeds + (self.extra if self.start < len(self.lengths) - 1 else 0)

    def cost(self, candidates: int) -> int:
        """Steps of training over all candidates, networks being of equal cost."""
        steps = (candidates * (self.first_seeds - self.seeds) - self.probed) * self.lengths[self.start]
        if self.start == len(self.lengths) - 1:  # finalists are also trained at the length before the last
            steps += survivors(candidates, self.reduction, self.keep) * self.seeds * self.lengths[-2]
        for length in self.lengths[self.start :]:
            steps += candidates * self.seeds * length
            if length == self.lengths[-1]:
                candidates = survivors(candidates, self.reduction, self.keep)
                steps += candidates * (self.final_seeds - self.seeds) * length
            candidates = survivors(candidates, self.reduction, self.keep)
        return steps


def affordable_halving(candidates: int, asked: HalvingPlan, steps: float) -> HalvingPlan:
    """The plan nearest to the request that costs at most `steps`: first fewer seeds in the rungs, then a sharper
    cut, then fewer finalists, never below two, and last fewer seeds for these, never below three. The first rung, on
    which most candidates are judged, keeps more seeds than the others, two if a sharper cut allows it. Where none fits,
    the cheapest, but with every seed of the first rung; of those that begin at the last length the cheapest that keeps
    every final seed."""
    for one in _plans(candidates, asked):
        if one.cost(candidates) <= steps:
            return one
    tried = list(_plans(candidates, asked))
    if asked.start == len(asked.lengths) - 1:
        tried = [one for one in tried if one.final_seeds == asked.final_seeds]
    cheapest = min(tried, key=lambda one: one.cost(candidates))
    return replace(cheapest, extra=max(asked.seeds - cheapest.seeds, 0))


def _plans(candidates: int, asked: HalvingPlan) -> Iterator[HalvingPlan]:
    """The plans that take no more than the one asked for, in the order of preference."""
    reductions = (asked.reduction, asked.reduction * 2, asked.reduction * 4, max(candidates, 2))
    for final_seeds in range(asked.final_seeds, min(asked.final_seeds, 3) - 1, -1):
        most = min(asked.seeds, final_seeds)
        keeps = range(asked.keep, min(asked.keep, 2) - 1, -1)
        for keep, least, reduction in product(keeps, (min(most, 2), 1), reductions):
            for seeds in range(most, 0, -1):
                for first in range(most, max(seeds, least) - 1, -1):
                    yield replace(
                        asked, seeds=seeds, extra=first - seeds, reduction=reduction, keep=keep, final_seeds=final_seeds
                    )


def affordable_probe(asked: int, candidates: int, lengths: Sequence[int], steps: float) -> int:
    """How many candidates to probe at the first and the last of `lengths`: as many as asked for, fewer where that takes
    more than PROBE_SHARE of the `steps` that the search may take or a quarter of the candidates, but not below four: of
    three, one swap of neighbours is already a poor rank correlation."""
    affordable = int(PROBE_SHARE * steps / (lengths[0] + lengths[-1]))
    return min(candidates, asked, max(4, min(affordable, candidates // 4)))


def far_apart(candidates: Sequence[Candidate], count: int, seed: int) -> list[int]:
    """`count` candidates that lie far apart in their actual shares: the most balanced one, then each time the one
    farthest from all before, ties drawn by seed. So compound growth is compared with each dimension alone."""
    draw = random.Random(f"probe of {seed}")
    order = draw.sample(range(len(candidates)), len(candidates))
    chosen = [min(order, key=lambda index: share_distance(candidates[index].actual, BALANCED))]

    def off(index: int) -> float:
        return min(share_distance(candidates[index].actual, candidates[other].actual) for other in chosen)

    while len(chosen) < min(count, len(candidates)):
        chosen.append(max((index for index in order if index not in chosen), key=off))
    return chosen
