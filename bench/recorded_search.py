"""Compare the search for alpha, beta and gamma with the full grid of real trainings that is kept in the repository.

    python bench/recorded_search.py --picture docs/results/cifar10-shares.png

Prints the grid (means over the seeds at both lengths) and, over 20 repetitions that draw other seeds and probes, what
the search picks, how far it is from the best of the full grid, and what it costs. Trains nothing: a few seconds.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import convscale as cs
from convscale.figures import draw_ternary
from convscale.records import Candidate
from convscale.search.coefficients import Candidates, actual_shares, find_coefficients, settings
from convscale.statistics import mean_interval, paired_difference

TABLE = Path(__file__).parent.parent / "tests" / "fixtures" / "recorded_grid.json"


def _candidate(baseline: cs.ConvNet, one: dict[str, list[float]]) -> Candidate:
    scaling = cs.Scaling(*one["scaling"])
    network = cs.scale(baseline, scaling)
    depth, width, resolution = one["shares"]
    macs = cs.cost(network).macs
    actual = actual_shares(baseline, scaling)
    return Candidate((depth, width, resolution), actual, scaling, network, macs, macs / cs.cost(baseline).macs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--picture", type=Path, help="draw the grid here, after the longest training")
    options = parser.parse_args()
    table = json.loads(options.table.read_text())
    baseline = cs.network(table["baseline"]).at_resolution(table["resolution"])
    trained = Candidates(tuple(_candidate(baseline, one) for one in table["trained"]), (), 0)
    settings.candidates_at_cost = lambda *_, **__: trained  # the planner may find others today
    found = {one.shares: one for one in trained.found}
    accuracies = defaultdict(dict)  # network, steps -> seed -> accuracy
    for row in table["rows"]:
        accuracies[found[tuple(row["shares"])].network, row["steps"]][row["seed"]] = row["accuracy"]
    lengths = sorted({row["steps"] for row in table["rows"]})
    full = {network: by for (network, steps), by in accuracies.items() if steps == lengths[-1]}
    order = sorted(found.values(), key=lambda one: -mean(full[one.network].values()))
    best = full[order[0].network]
    print(
        "depth  width  resolution  px  " + "  ".join(f"after {steps} steps" for steps in lengths) + "   beside the best"
    )
    for one in order:
        means = "".join(f"{100 * mean(accuracies[one.network, steps].values()):14.2f} " for steps in lengths)
        beside = paired_difference(full[one.network], best)
        low, high = (100 * end for end in beside.interval95 or (0.0, 0.0))
        shares = "  ".join(f"{share:5.2f}" for share in one.actual)
        told = f"{100 * beside.mean:+.2f} ({low:+.2f} to {high:+.2f})"
        print(f"{shares}       {one.network.resolution}  {means}  {told}")
    if options.picture:
        points = [(one.actual, mean(full[one.network].values())) for one in order]
        equal = [one.actual for one in order if not paired_difference(full[one.network], best).certain]
        title = (
            f"{baseline.name} from {table['resolution']} px at {table['cost']:g} times its cost: "
            "shares of the extra cost",
            f"CIFAR-10, {table['images']:,} training and {table['test_images']:,} held-out images: "
            f"mean of {len(best)} seeds after {lengths[-1]} steps",
            "ringed: the best, thick, and all that cannot be told apart from it",
        )
        draw_ternary(points, order[0].actual, options.picture, equal=equal, title=title)
    seeds, picked, costs, regrets = sorted(best), Counter[str](), [], []
    for repetition in range(options.repetitions):
        drawn = random.Random(repetition).sample(seeds, len(seeds))
        result = find_coefficients(
            baseline,
            lambda network, seed, steps, drawn=drawn, first=repetition: accuracies[network, steps][drawn[seed - first]],
            lengths=lengths, cost=table["cost"], share_step=table["share_step"], seed=repetition,
            seeds=min(3, len(seeds)), final_seeds=len(seeds),
        )  # fmt: skip
        picked[", ".join(f"{value:.3f}" for value in result.coefficients)] += 1
        costs.append(result.share_of_full_grid)
        own = full[result.best.candidate.network]
        regrets.append(100 * mean(best[seed] - own[seed] for seed in seeds))
    spread = mean_interval(list(best.values()))
    print(f"best of the full grid {100 * spread.mean:.2f}; picked alpha, beta, gamma: {dict(picked)}")
    print(f"regret at most {max(regrets):.2f} points; cost {min(costs):.0%} to {max(costs):.0%} of the full grid")


if __name__ == "__main__":
    main()
