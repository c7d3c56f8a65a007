"""Images per second of trials beside a bare loop of PyTorch: the same network, batch and number of steps, on tensors
made beforehand, with nothing but forward, loss, backward and SGD.

    python bench/trials.py cifar10 [--networks 16] [--images 2000 --epochs 3 --rounds 5] [--kept | --profile]

One thread. Sides take turns in one process; seconds are of processor time, so that other processes count for little. A
trial's are all that `train_trial` takes once the images are decoded: shifting and flipping, steps, statistics of batch
norm, the evaluation of half as many test images, checkpoints, weights, records. `--kept` compares with a trial that
prepares images anew in each epoch.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

import convscale as cs
from convscale.data import fit_to_images
from convscale.networks import ConvNet
from convscale.nn import build, to_default_device
from convscale.recipes import recipe
from convscale.records import DataChoice
from convscale.trials import training_work as work
from convscale.trials.trial import Trial, TrialResult


def networks() -> dict[str, ConvNet]:
    """small-mbconv at 32 and 16 px, and the baseline of the study `converged`."""
    small, tiny = cs.network("small-mbconv"), cs.network("tiny-mbconv")
    return {"small-mbconv 32 px": small, "small-mbconv 16 px": small.at_resolution(16), "tiny-mbconv 32 px": tiny}


def train(trial: Trial) -> TrialResult:
    with tempfile.TemporaryDirectory() as folder:
        return work.train_trial(trial, Path(folder) / "run")


def bare_loop(trial: Trial, steps: int) -> Callable[[], None]:
    batch, size = trial.recipe.batch, trial.network.resolution
    model = to_default_device(build(trial.network, norm_momentum=trial.recipe.norm_momentum, seed=0)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))

    def loop() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return loop


def seconds(action: Callable[[], object]) -> float:
    """Of processor time."""
    started = time.process_time()
    action()
    return time.process_time() - started


def beside_bare_loop(name: str, trial: Trial, rounds: int) -> None:
    steps = train(trial).steps  # decodes the images too
    loop, images = bare_loop(trial, steps), steps * trial.recipe.batch
    loop()
    bare, whole = [], []
    for _ in range(rounds):
        bare.append(seconds(loop))
        whole.append(seconds(lambda: train(trial)))
    ratios = sorted(b / w for b, w in zip(bare, whole, strict=True))
    quartiles = f"{ratios[len(ratios) // 4]:.2f} to {ratios[-1 - len(ratios) // 4]:.2f}"
    print(
        f"{name:<20} bare loop {images / median(bare):6.0f} images/s   trial {images / median(whole):6.0f}   "
        f"ratio {median(ratios):.2f} ({quartiles})"
    )


def with_room(kept_bytes: int, trial: Trial) -> TrialResult:
    """A training with room for `kept_bytes` of prepared images, which none has been prepared of."""
    work.KEPT_BYTES = kept_bytes
    work.choose_images.cache_clear()
    return train(trial)


def beside_images_prepared_anew(name: str, trial: Trial, rounds: int) -> None:
    kept_bytes, results, ratios = work.KEPT_BYTES, [], []
    for _ in range(rounds):
        anew = seconds(lambda: results.append(with_room(0, trial)))
        kept = seconds(lambda: results.append(with_room(kept_bytes, trial)))
        ratios.append(anew / kept)
    assert len({result.accuracy for result in results}) == 1, "what is kept must not change the training"
    print(f"{name:<20} prepared anew in each epoch takes {median(ratios):.2f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--networks", default="", help="those alone whose name contains this")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kept", action="store_true", help="beside images prepared anew, not beside the bare loop")
    parser.add_argument("--profile", action="store_true", help="what a trial's time goes to, by PyTorch's profiler")
    options = parser.parse_args()
    torch.set_num_threads(1)
    choice = DataChoice(source=options.data, train_images=options.images, test_images=options.images // 2)
    settings = recipe("small-images").with_changes(epochs=options.epochs)
    for name, network in networks().items():
        if options.networks not in name:
            continue
        network = fit_to_images(network, work.choose_images(choice))
        trial = Trial(network=network, recipe=settings, data=choice, seed=0)
        if options.profile:
            train(trial)
            with profile(activities=[ProfilerActivity.CPU]) as found:
                train(trial)
            print(name, found.key_averages().table(sort_by="self_cpu_time_total", row_limit=12), sep="\n")
        elif options.kept:
            beside_images_prepared_anew(name, trial, options.rounds)
        else:
            beside_bare_loop(name, trial, options.rounds)


if __name__ == "__main__":
    main()
