"""bfloat16 beside float32 on a CPU: what training and evaluation gain, and what accuracy does.

    python bench/precision.py [--rounds 5]                              ratios of images per second
    python bench/precision.py --data cifar10 [--epochs 5 --seeds 3]     accuracies of both, by seed

Processors without AMX or AVX512-BF16 emulate bfloat16, many times slower: nothing is measured there without --anyway.
One thread, unless OMP_NUM_THREADS says otherwise. The ratios are those by which precision "auto" chooses.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import convscale as cs
from convscale import machine
from convscale.nn import bf16_speedups
from convscale.recipes import recipe

# Network, pixels, batch.
CASES = (
    ("small-mbconv", 16, 64), ("small-mbconv", 32, 64), ("small-mobilenet-v2", 32, 64), ("small-resnet", 32, 64),
    ("efficientnet-b0", 224, 8),
)  # fmt: skip
TRAINED = ("small-mbconv", "small-resnet")


def speed(rounds: int) -> None:
    for name, size, batch in CASES:
        network = cs.network(name).at_resolution(size)
        found = [bf16_speedups(network, batch) for _ in range(rounds)]
        training, evaluation = sorted(one.training for one in found), sorted(one.evaluation for one in found)
        print(
            f"{name} at {size} px, batch {batch}: training {median(training):.2f} ({training[0]:.2f} to "
            f"{training[-1]:.2f}), evaluation {median(evaluation):.2f} ({evaluation[0]:.2f} to {evaluation[-1]:.2f})",
            flush=True,
        )


def accuracy(data: str, epochs: int, seeds: int) -> None:
    """Trainings in both precisions from the same seeds, the bfloat16 one evaluated in it too."""
    dataset, chosen = cs.open_dataset(data), recipe("small-images").with_changes(epochs=epochs)
    for name in TRAINED:
        differences = []
        for seed in range(seeds):
            found = {}
            for precision in ("fp32", "bf16"):
                with tempfile.TemporaryDirectory() as folder:
                    _, evaluation = cs.train(
                        cs.network(name), dataset, replace(chosen, precision=precision), Path(folder) / "run",
                        seed=seed, evaluation_precision=precision, evaluate_each_epoch=False, pictures=False,
                        quiet=True,
                    )  # fmt: skip
                found[precision] = evaluation.top1
            differences.append(found["bf16"] - found["fp32"])
            print(f"{name}, seed {seed}: fp32 {found['fp32']:.4f}, bf16 {found['bf16']:.4f}", flush=True)
        print(f"{name}: bf16 minus fp32 {100 * mean(differences):+.2f} points, the mean of {seeds} seeds", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="compare accuracies on this instead, such as cifar10 or cifar10@FOLDER")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--anyway", action="store_true", help="on processors without bfloat16 too")
    options = parser.parse_args()
    if not machine.has_fast_bf16() and not options.anyway:
        print("this processor has neither AMX nor AVX512-BF16: nothing measured")
    elif options.data:
        accuracy(options.data, options.epochs, options.seeds)
    else:
        speed(options.rounds)


if __name__ == "__main__":
    main()
