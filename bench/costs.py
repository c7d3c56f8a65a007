"""Speed of costs and planning, compared with PyTorch doing the same: every figure is a ratio taken in one run.

    make bench

Evaluations are of distinct networks (random depth, width and resolution), so that nothing is found in a cache
that a first use would not find.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

import convscale as cs


def per_second(work: Callable[[cs.Scaling], object], scalings: list[cs.Scaling], repeats: int) -> float:
    """The best of some rounds, in evaluations per second."""
    rates = []
    for index in range(repeats):
        share = scalings[index::repeats]
        started = time.perf_counter()
        for scaling in share:
            work(scaling)
        rates.append(len(share) / (time.perf_counter() - started))
    return max(rates)


BASE = cs.network("efficientnet-b0")


def evaluate(scaling: cs.Scaling) -> cs.Cost:
    return cs.cost(cs.scale(BASE, scaling))


def build_and_count(scaling: cs.Scaling) -> int:
    network = cs.scale(BASE, scaling)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = cs.build(network).eval()
        model(torch.empty(1, 3, network.resolution, network.resolution))
    return counter.get_total_flops() // 2


def wall_seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def ratio_to_importing_torch(arguments: list[str], rounds: int = 7) -> float:
    """Median over rounds of the command's wall time over that of `python -c "import torch"`, one after the other."""
    command = [sys.executable, "-m", "convscale", *arguments]
    reference = [sys.executable, "-c", "import torch"]
    wall_seconds(command), wall_seconds(reference)  # a warm-up of the file cache
    return statistics.median(wall_seconds(command) / wall_seconds(reference) for _ in range(rounds))


def main() -> None:
    torch.set_num_threads(1)
    draw = random.Random(0)
    scalings = [cs.Scaling(draw.uniform(0.5, 4), draw.uniform(0.5, 3), draw.uniform(0.5, 3)) for _ in range(3000)]
    ours = per_second(evaluate, scalings, 6)
    theirs = per_second(build_and_count, scalings[:12], 3)
    print(f"scale + resolve + cost   {ours:8.0f} per second on one core (goal: at least 2,000)")
    print(f"build + FlopCounterMode  {theirs:8.1f} per second; ratio {ours / theirs:.0f}")
    for label, arguments, goal in (
        ("convscale plan", ["plan", "efficientnet-b0", "--macs", "1G", "--params", "8M"], 0.85),
        ("convscale --help", ["--help"], 0.4),
    ):
        ratio = ratio_to_importing_torch(arguments)
        print(f"{label:<24} {ratio:8.2f} of the wall time of importing torch (goal: at most {goal})")


if __name__ == "__main__":
    main()
