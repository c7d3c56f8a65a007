"""What a trial takes with prepared images kept from epoch to epoch, against one that prepares them each time.

    python bench/trials.py cifar10 --images 2000 --epochs 4 --rounds 3

One thread, small-mbconv at 16 px, the recipe small-images; both end in the same accuracy. Ratios of rounds, in one
process, one after the other.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

from torch.profiler import ProfilerActivity, profile

import convscale as cs
from convscale.data import fit_to_images
from convscale.recipes import recipe
from convscale.records import DataChoice
from convscale.trials import training_work as work
from convscale.trials.trial import Trial, TrialResult


def timed(trial: Trial, kept_bytes: int) -> tuple[float, TrialResult]:
    """Seconds of one training and its result, with room for `kept_bytes` of prepared images."""
    work.KEPT_BYTES = kept_bytes
    work.choose_images.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = work.train_trial(trial, Path(folder) / "run")
        return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="what a trial's time goes to, by PyTorch's profiler")
    options = parser.parse_args()
    choice = DataChoice(source=options.data, train_images=options.images, test_images=options.images // 2)
    network = fit_to_images(cs.network("small-mbconv").at_resolution(16), work.choose_images(choice))
    trial = Trial(
        network=network, recipe=recipe("small-images").with_changes(epochs=options.epochs), data=choice, seed=0
    )
    kept_bytes = work.KEPT_BYTES
    timed(trial, kept_bytes)  # loads what is loaded once
    if options.profile:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            timed(trial, kept_bytes)
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))
        return
    ratios = []
    for _ in range(options.rounds):
        without, plain = timed(trial, 0)
        seconds, kept = timed(trial, kept_bytes)
        assert kept.accuracy == plain.accuracy, "what is kept must not change the training"
        ratios.append(without / seconds)
        print(f"kept {seconds:.1f} s, prepared each time {without:.1f} s: {ratios[-1]:.2f}x")
    print(f"median {median(ratios):.2f}x")


if __name__ == "__main__":
    main()
