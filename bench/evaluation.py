"""Speed of an evaluation compared with timm's: the same images, network, weights, batch, threads and workers.

    CONVSCALE_TEST_DATA=... python bench/evaluation.py [--images 256] [--rounds 7] [--threads 1] [--workers 0]

Ours is `measure`: JPEG files to top-1, top-5, confusion and calibration. theirs is the loop of timm's validate.py, with
its loader and its accuracy: JPEG files to loss, top-1 and top-5; `plain` with the model unchanged, `tuned` with the
model channels last, like ours. All run in one process and take turns to go first, so that a busy machine slows all; a
ratio is the median over rounds of ours / theirs, in images per second and, because a busy machine hardly changes it,
in images per second of CPU time. Where the networks do not agree on a batch of noise, nothing is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import convscale as cs
from convscale import machine
from convscale.data import FileImages
from convscale.evaluation import measure
from convscale.nn import keep_memory, to_default_device
from convscale.preprocessing import Preprocessing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import peers

NETWORK, BATCH, CLASSES = "mobilenet-v2", 64, 1000
PREPROCESSING = Preprocessing(224, crop=0.875)
CPU = torch.device("cpu")


def write(folder: Path, count: int) -> FileImages:
    """One image per class folder: photographs where CONVSCALE_TEST_DATA has them, else smooth noise."""
    source = Path(os.environ.get("CONVSCALE_TEST_DATA", "")) / "imagenet-samples" / "images"
    found = sorted(source.iterdir()) if "CONVSCALE_TEST_DATA" in os.environ and source.is_dir() else []
    if not found:
        print("CONVSCALE_TEST_DATA is not set: smooth noise stands in for photographs")
    generator = np.random.default_rng(0)
    paths = []
    for index in range(min(count, len(found) or count)):
        path = folder / f"{index:03}" / f"{index}.jpg"
        path.parent.mkdir()
        if found:
            shutil.copy(found[index * len(found) // count if count < len(found) else index], path)
        else:
            small = Image.fromarray(generator.integers(0, 256, (48, 64, 3), np.uint8))
            small.resize((427, 320), Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return FileImages(paths, np.arange(len(paths)))


def make_models() -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and timm's, with the same random weights and padding."""
    network = replace(cs.network(NETWORK), padding="symmetric", norm_eps=1e-5)
    theirs = peers.timm().create_model(peers.NAMES[NETWORK])
    peers.randomise_norms(theirs)
    model = cs.build(network)
    peers.copy_weights(theirs, model)
    return to_default_device(model).eval(), theirs.eval()


def ours(model: Any, images: FileImages, workers: int) -> Callable[[], object]:
    names = tuple(str(index) for index in range(CLASSES))

    return lambda: measure(model, images, PREPROCESSING, names, batch=BATCH, workers=workers)


def theirs(model: torch.nn.Module, folder: Path, workers: int, channels_last: bool) -> Callable[[], object]:
    """The loop of timm's validate.py, with the defaults of its options."""
    timm = peers.timm()
    loader: Any = timm.data.create_loader(
        timm.data.create_dataset("", root=str(folder)),
        (PREPROCESSING.channels, PREPROCESSING.size, PREPROCESSING.size),
        BATCH,
        interpolation=PREPROCESSING.interpolation,
        mean=PREPROCESSING.mean,
        std=PREPROCESSING.std,
        crop_pct=PREPROCESSING.crop,
        num_workers=workers,
        persistent_workers=False,
        device=CPU,
    )
    criterion = torch.nn.CrossEntropyLoss()

    def run() -> None:
        model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        losses, top1, top5 = (timm.utils.AverageMeter() for _ in range(3))
        with torch.inference_mode():
            for pixels, target in loader:
                if channels_last:
                    pixels = pixels.contiguous(memory_format=torch.channels_last)
                output = model(pixels)
                loss = criterion(output, target)
                first, five = timm.utils.accuracy(output.detach(), target, topk=(1, 5))
                losses.update(loss.item(), pixels.size(0))
                top1.update(first.item(), pixels.size(0))
                top5.update(five.item(), pixels.size(0))

    return run


def require_equal(model: torch.nn.Module, their: torch.nn.Module) -> None:
    """Stop where the networks are not the same."""
    pixels = torch.randn(8, PREPROCESSING.channels, PREPROCESSING.size, PREPROCESSING.size)
    with torch.inference_mode():
        apart = (model(pixels) - their(pixels)).abs().max() / their(pixels).abs().max()
    if apart > 1e-3:
        raise SystemExit(f"the networks do not compute the same: logits are {apart:.1%} apart")


def compare(sides: dict[str, Callable[[], object]], images: int, rounds: int) -> None:
    """Print images per second of each side, and the ratios of ours to the others."""
    clocks = time.perf_counter, time.process_time
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for done in range(rounds + 1):
        turn = done % len(sides)
        for name, run in [*sides.items()][turn:] + [*sides.items()][:turn]:
            started = [clock() for clock in clocks]
            run()
            wall, cpu = (images / (clock() - start) for clock, start in zip(clocks, started, strict=True))
            if done:  # the first warms up
                rates[name].append((wall, cpu))
    print(f"  ours   {statistics.median(wall for wall, _ in rates['ours']):7.1f} images/s")
    for name in ("plain", "tuned"):
        ratios = [(a[0] / b[0], a[1] / b[1]) for a, b in zip(rates["ours"], rates[name], strict=True)]
        wall, cpu = (sorted(ratio) for ratio in zip(*ratios, strict=True))
        print(
            f"  {name:<6} {statistics.median(rate for rate, _ in rates[name]):7.1f} images/s; ratio"
            f" {statistics.median(wall):.2f} (rounds {wall[0]:.2f} to {wall[-1]:.2f}; goal: at least 1), of CPU time"
            f" {statistics.median(cpu):.2f} ({cpu[0]:.2f} to {cpu[-1]:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    versions = {**machine.versions(("torch", "timm", "pillow")), "load": machine.load_average()}
    print("  ".join(f"{name} {value}" for name, value in versions.items()))
    with tempfile.TemporaryDirectory() as name:
        images = write(Path(name), options.images)
        model, their = make_models()
        require_equal(model, their)
        sides = {
            "ours": ours(model, images, options.workers),
            "plain": theirs(their, Path(name), options.workers, channels_last=False),
            "tuned": theirs(their, Path(name), options.workers, channels_last=True),
        }
        print(
            f"{NETWORK} at {PREPROCESSING.size} px, {len(images)} images, batch {BATCH}, threads {options.threads},"
            f" workers {options.workers}"
        )
        compare(sides, len(images), options.rounds)


if __name__ == "__main__":
    main()
