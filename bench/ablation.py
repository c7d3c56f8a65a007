"""What each part of a recipe contributes: the same training without it, over seeds.

    python bench/ablation.py cifar10 --images 10000 --epochs 10 --seeds 3 -o runs/ablation

Seeds draw weights, order and views; differences are between pairs with the same seed. A run that already exists is
not repeated, so the command can be stopped and given again, also with more seeds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import convscale as cs
from convscale.data.images import Subset
from convscale.recipes import Augmentation, Recipe, recipe
from convscale.runs import Run
from convscale.training import resume, train

# Student's t for 95 % with 1, 2, ... degrees of freedom.
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)


def variants(base: Recipe) -> dict[str, Recipe]:
    """The whole recipe, and what is left of it without a part."""
    whole = replace(base, ema_decay=0.9999, drop_path=0.1)
    return {
        "whole": whole,
        "without EMA": replace(whole, ema_decay=0.0),
        "without augmentation": replace(whole, augmentation=Augmentation()),
        "without drop path": replace(whole, drop_path=0.0),
        "with AutoAugment": replace(whole, augmentation=replace(whole.augmentation, policy="autoaugment")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--network", default="small-mbconv")
    parser.add_argument("--recipe", default="small-images")
    parser.add_argument("--images", type=int, default=10_000, help="training images, drawn by seed 0")
    parser.add_argument("--test-images", type=int, default=5_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    dataset = cs.open_dataset(options.data)
    chance = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", options.images), ("test", options.test_images)):
        images = getattr(dataset, name)
        parts[name] = Subset(images, np.sort(chance.permutation(len(images))[:count]))
    few = replace(dataset, **parts)
    recipes = variants(recipe(options.recipe).with_changes(epochs=options.epochs))
    accuracies: dict[str, list[float]] = {name: [] for name in recipes}
    for seed in range(options.seeds):
        for name, chosen in recipes.items():
            path = options.output / f"{name.replace(' ', '-')}-{seed}"
            if not path.exists():
                train(cs.network(options.network), few, chosen, path, seed=seed, quiet=True)
            elif Run(path).result() is None:
                resume(path, data=few, quiet=True)
            record = Run(path).result()
            assert record is not None
            accuracies[name].append(record.top1)
            print(f"seed {seed}  {name:<22} {record.top1:.4f}  {record.seconds:.0f} s", file=sys.stderr, flush=True)
    print(f"{options.network}, {len(few.train):,} images x {options.epochs} epochs, top-1 on {len(few.test):,}")
    for name, found in accuracies.items():
        pairs = [one - other for one, other in zip(found, accuracies["whole"], strict=True)]
        half = T95[len(pairs) - 2] * statistics.stdev(pairs) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
        mean = statistics.mean(pairs)
        beside = (
            "" if name == "whole" else f"  against the whole {mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"
        )
        print(f"{name:<22} {statistics.mean(found):.4f}{beside}")


if __name__ == "__main__":
    main()
