"""Planted objectives, of which the best candidate is known, and a search of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import convscale as cs
from convscale.networks import ConvNet
from convscale.records import CoefficientSearch
from convscale.records.coefficients import Shares
from convscale.search.coefficients import Candidates, candidates_at_cost, find_coefficients

LENGTHS = (100, 300, 900)
Evaluate = Callable[[ConvNet, int, int], float]


@cache
def candidates(step: float = 0.25, cost: float = 4.0) -> Candidates:
    return candidates_at_cost(cs.network("small-mbconv"), cost, step=step)


def towards(
    best: Shares, *, noise: float = 0.0, width_bias: float = 0.0, step: float = 0.25, repetition: int = 0
) -> Evaluate:
    """Accuracy falls with the distance from `best`; short trainings favour width by `width_bias`. Half of the noise
    is of the seed alone, so that pairing helps."""
    actual = {one.network: one.actual for one in candidates(step).found}
    names = {network: number for number, network in enumerate(actual)}

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        away = sum((a - b) ** 2 for a, b in zip(actual[network], best, strict=True))
        short = 1 - steps / LENGTHS[-1]
        own = random.Random(f"{repetition} {names[network]} {seed} {steps}").gauss(0, noise)
        shared = random.Random(f"{repetition} {seed} {steps}").gauss(0, noise)
        return 0.8 - 0.3 * away - 0.2 * short + width_bias * short * actual[network][1] + own + shared

    return evaluate


def search(evaluate: Evaluate, **options: object) -> CoefficientSearch:
    settings = {"cost": 4.0, "share_step": 0.25, "lengths": LENGTHS, **options}
    return find_coefficients(cs.network("small-mbconv"), evaluate, **settings)  # type: ignore[arg-type]


def nearest(best: Shares) -> Shares:
    return min(
        (one.actual for one in candidates().found),
        key=lambda a: sum((x - y) ** 2 for x, y in zip(a, best, strict=True)),
    )
