"""How often the intervals of alpha, beta and gamma hold planted values, and how wide they are.

    python bench/coverage.py --repetitions 2000
    python bench/coverage.py --cost 2 --kinds "slope .05" "order moves"

Accuracies are planted: 0.85 at a best network, drawn among the candidates, and lower by a slope times the distance of
shares elsewhere; seeds add noise. Each repetition is a search beside an oracle: every candidate at the last length from
every final seed, judged by the same comparison. Nothing is trained. A width is the sum of the three intervals' lengths;
an oracle that leaves two networks with nearly the same shares has nearly none. The ratio is the median of the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np

import convscale as cs
from convscale.records import Candidate
from convscale.search.coefficients import SearchSettings, find_coefficients
from convscale.search.coefficients.candidates import share_distance
from convscale.search.coefficients.comparison import compare

LENGTHS = (100, 300, 900)
SEEDS = 5


@dataclass(frozen=True)
class Kind:
    """Planted accuracies. noise: of a seed, by length. shared: noise that all candidates of a seed and length share.
    order: how the order of candidates changes with the length."""

    slope: float
    noise: tuple[float, ...] = (0.005, 0.005, 0.005)
    shared: float = 0.0
    order: str = "same"


KINDS = {
    "slope .01": Kind(0.01),
    "slope .02": Kind(0.02),
    "slope .05": Kind(0.05),
    "slope .1": Kind(0.1),
    "slope .2": Kind(0.2),
    "noise .2 points, slope .02": Kind(0.02, (0.002,) * 3),
    "noise 1 point, slope .05": Kind(0.05, (0.01,) * 3),
    "noise 1 point, slope .1": Kind(0.1, (0.01,) * 3),
    "noise falls with length": Kind(0.05, (0.01, 0.007, 0.005)),
    "noise falls steeply": Kind(0.05, (0.015, 0.0075, 0.005)),
    "noise grows with length": Kind(0.05, (0.003, 0.004, 0.005)),
    "a seed's effect on all": Kind(0.05, shared=0.01),
    "small images first": Kind(0.05, order="resolution"),
    "order moves": Kind(0.05, order="moves"),
    "order moves, slope .1": Kind(0.1, order="moves"),
    "order moves late": Kind(0.05, order="late"),
    "order at random": Kind(0.05, order="random"),
}


class Planted:
    """One truth and its trainings."""

    def __init__(self, kind: Kind, found: tuple[Candidate, ...], repetition: int) -> None:
        draw = np.random.default_rng(repetition)
        away = np.array([[share_distance(a.actual, b.actual) for b in found] for a in found])
        self.places = {one.network: place for place, one in enumerate(found)}
        self.best = int(draw.integers(len(found)))
        near = np.flatnonzero((away[self.best] > 0.1) & (away[self.best] < 0.4))
        early = int(draw.choice(near)) if len(near) else self.best
        mean = np.tile(0.85 - kind.slope * away[self.best], (3, 1))
        if kind.order == "resolution":
            mean -= np.outer((0.03, 0.0225, 0), [one.network.resolution / 64 for one in found])
        elif kind.order in ("moves", "late"):
            mean[0] = 0.85 - kind.slope * away[early]
            mean[1] = mean[0] if kind.order == "late" else (mean[0] + mean[2]) / 2
        elif kind.order == "random":
            steps = draw.normal(0, 0.006, (2, len(found)))
            mean[1] += steps[1]
            mean[0] += steps[0] + steps[1]
        shared = draw.normal(0, 1, (3, SEEDS, 1)) * kind.shared - np.array([0.2, 0.1, 0])[:, None, None]
        own = draw.normal(0, 1, (3, SEEDS, len(found))) * np.array(kind.noise)[:, None, None]
        self.accuracies = mean[:, None, :] + shared + own  # length, seed, candidate

    def evaluate(self, network: cs.ConvNet, seed: int, steps: int) -> float:
        return float(self.accuracies[LENGTHS.index(steps), seed % SEEDS, self.places[network]])

    def oracle(self, seed: int) -> tuple[int, ...]:
        """The candidates that every training at the last length leaves."""
        last = self.accuracies[-1]
        every = [{LENGTHS[-1]: dict(enumerate(last[:, place].tolist()))} for place in range(last.shape[1])]
        return compare(every, seed).can_be_best


def measure(kind: Kind, baseline: cs.ConvNet, settings: dict[str, float], repetitions: int) -> str:
    """A row of the table."""
    found = SearchSettings(lengths=LENGTHS, **settings).candidates(baseline).found
    coefficients = np.array([one.coefficients("shares") for one in found])
    held, inside, right, shares, searched, oracle = [], [], [], [], [], []
    for repetition in range(repetitions):
        planted = Planted(kind, found, repetition)
        result = find_coefficients(
            baseline, planted.evaluate, lengths=LENGTHS, seed=repetition * SEEDS, final_seeds=SEEDS, **settings
        )
        low, high = np.array(result.interval95).T
        truth = coefficients[planted.best]
        held.append(bool(((low <= truth) & (truth <= high)).all()))
        inside.append(planted.best in result.equal_best)
        right.append(result.equal_best[0] == planted.best)
        shares.append(result.share_of_full_grid)
        searched.append(float((high - low).sum()))
        oracle.append(float(np.ptp(coefficients[list(planted.oracle(repetition))], axis=0).sum()))
    ratios = [(a + 1e-9) / (b + 1e-9) for a, b in zip(searched, oracle, strict=True)]
    mean, median = statistics.fmean, statistics.median
    return (
        f"{mean(held):.3f} | {mean(inside):.3f} | {mean(right):.2f} | {median(searched):.3f} | {median(oracle):.3f} | "
        f"{median(ratios):.2f} | {median(shares):.3f} to {max(shares):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", default="small-mbconv")
    parser.add_argument("--cost", type=float, default=4.0)
    parser.add_argument("--tolerance", type=float, default=0.05, help="of the candidates' cost")
    parser.add_argument("--step", type=float, default=1 / 6, help="between shares")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    baseline = cs.network(options.baseline)
    settings = {"cost": options.cost, "cost_tolerance": options.tolerance, "share_step": options.step}
    count = len(SearchSettings(lengths=LENGTHS, **settings).candidates(baseline).found)
    print(
        f"{count} candidates of {baseline.name} at {options.cost:g} times its cost, {options.repetitions} repetitions"
    )
    print("planted | held | best in the set | best found | width | oracle's | ratio | share of the full grid")
    for name in options.kinds:
        started = time.perf_counter()
        row = measure(KINDS[name], baseline, settings, options.repetitions)
        seconds = (time.perf_counter() - started) / options.repetitions
        print(f"{name} | {row} | {1000 * seconds:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
