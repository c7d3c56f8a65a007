"""Speed of loading training batches on one core, against timm's loader on the same files with the same transform.

    CONVSCALE_TEST_DATA=... python bench/loading.py

Random resized crop to 224 x 224 (35 to 100 % of the area; bicubic, the default here, and bilinear, timm's), flip,
normalisation, batches of 64 floats. The two sides take turns in rounds, so that a busy machine slows both; the ratio
is the median over rounds. Below it: how far the pixels are from PIL's resize of the decoded image, for the box as
drawn and as rounded to the scale it is decoded at. Then: images per second at CIFAR-10's size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from convscale.data import FileImages, ImageCollection, open_images
from convscale.data.decoding import Picture, rounded
from convscale.data.loader import Normalise, training_batches
from convscale.data.transforms import random_box
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.peers import timm

SIZES = ((500, 375, 1.3), (1500, 1125, 1.8))  # width, height, goal
BATCH, IMAGES = 64, 128
KERNELS = [Preprocessing(224, interpolation="bicubic"), Preprocessing(224, interpolation="bilinear")]
AUGMENTATION = Augmentation(crop="resized", scale_min=0.35, flip=True)


def photographs(count: int) -> list[Image.Image]:
    """Real photographs where CONVSCALE_TEST_DATA has them, else smooth noise, which is easier to decode."""
    folder = Path(os.environ.get("CONVSCALE_TEST_DATA", "")) / "imagenet-samples" / "images"
    if "CONVSCALE_TEST_DATA" in os.environ and folder.is_dir():
        paths = sorted(folder.iterdir())
        return [Image.open(path).convert("RGB") for path in paths[:: len(paths) // count][:count]]
    print("CONVSCALE_TEST_DATA is not set: smooth noise stands in for photographs")
    generator = np.random.default_rng(0)
    small = (generator.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(count))
    return [Image.fromarray(pixels).resize((500, 375), Image.Resampling.BICUBIC) for pixels in small]


def write(images: list[Image.Image], folder: Path, width: int, height: int) -> FileImages:
    """The photographs cut and resized to width x height, as JPEGs in one subfolder per class, as timm reads them."""
    paths = []
    for index, image in enumerate(images):
        path = folder / str(index % 2) / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        scale = min(image.width / width, image.height / height)
        box = (0, 0, width * scale, height * scale)
        image.resize((width, height), Image.Resampling.BICUBIC, box).save(path, quality=90)
        paths.append(path)
    return FileImages(paths, np.arange(len(paths)) % 2)


def ours(
    images: ImageCollection, preprocessing: Preprocessing, augmentation: Augmentation = AUGMENTATION
) -> Callable[[int], int]:
    normalise = Normalise(preprocessing, torch.device("cpu"))

    def run(epoch: int) -> int:
        batches = training_batches(images, preprocessing, augmentation, BATCH, seed=0, epoch=epoch, workers=0)
        return sum(len(normalise(batch[0])) for batch in batches)

    return run


def theirs(folder: Path, preprocessing: Preprocessing) -> Callable[[int], int]:
    data = timm().data
    loader: Any = data.create_loader(
        data.create_dataset("", root=str(folder)),
        (3, preprocessing.size, preprocessing.size),
        BATCH,
        is_training=True,
        scale=(AUGMENTATION.scale_min, 1.0),
        color_jitter=None,
        interpolation=preprocessing.interpolation,
        num_workers=0,
        persistent_workers=False,
        use_prefetcher=False,
        device=torch.device("cpu"),
    )
    return lambda epoch: sum(len(images) for images, _ in loader)


def rate(run: Callable[[int], int], epoch: int) -> float:
    """Images per second over one epoch."""
    started = time.perf_counter()
    images = run(epoch)
    return images / (time.perf_counter() - started)


def compare(images: FileImages, folder: Path, preprocessing: Preprocessing, goal: float, rounds: int) -> None:
    sides = ours(images, preprocessing), theirs(folder, preprocessing)
    pairs = [tuple(rate(side, epoch) for side in sides) for epoch in range(rounds + 1)][1:]  # the first warms up
    our, their = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratios = sorted(pair[0] / pair[1] for pair in pairs)
    print(
        f"  {preprocessing.interpolation:<9}{our:6.0f} images per second, timm {their:6.0f}; ratio"
        f" {statistics.median(ratios):.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f}; goal: at least {goal})"
    )


def difference(images: FileImages, preprocessing: Preprocessing, boxes: int = 2) -> None:
    """Training pixels against PIL's resize of the decoded image, for the box in whole pixels of the decoded scale."""
    generator = np.random.default_rng(0)
    found: dict[str, list[tuple[float, int]]] = {}
    size, resampling = preprocessing.size, Image.Resampling[preprocessing.interpolation.upper()]
    for index in range(len(images)):
        picture = Picture(images.content(index), 3, images.name(index))
        for _ in range(boxes):
            box = random_box(picture.size, AUGMENTATION.scale_min, generator)
            divisor = picture.divisor(box, size)
            left, top, right, bottom = (edge * divisor for edge in rounded(box, divisor))
            near = left, top, min(right, picture.size[0]), min(bottom, picture.size[1])
            pixels = picture.part(box, size, preprocessing.interpolation).astype(int)
            for kind, exact in (("rounded", near), ("drawn", box)):
                reference = np.array(picture.image.crop(exact).resize((size, size), resampling))
                apart = np.abs(pixels - reference.transpose(2, 0, 1))
                found.setdefault(f"at 1/{divisor}, box {kind}", []).append((apart.mean(), apart.max()))
    for kind in sorted(found):
        means, highest = zip(*found[kind], strict=True)
        print(f"    {kind:<20} mean difference {np.mean(means):.2f}, max {max(highest)} of 255 ({len(means)} crops)")


def small(rounds: int) -> None:
    """CIFAR-10 from parquet, where it is available: shift and flip, batches, normalised."""
    parquet = Path(os.environ.get("CONVSCALE_TEST_DATA", "")) / "cifar10"
    if not ("CONVSCALE_TEST_DATA" in os.environ and parquet.is_dir()):
        return
    run = ours(open_images(parquet)[0], Preprocessing(32), Augmentation(crop="shift", flip=True))
    rates = [rate(run, epoch) for epoch in range(rounds)]
    print(f"CIFAR-10, 32x32, shift and flip: {statistics.median(rates):.0f} images per second (best {max(rates):.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    source = photographs(IMAGES)
    with tempfile.TemporaryDirectory() as temporary:
        for width, height, goal in SIZES:
            folder = Path(temporary) / str(width)
            images = write(source, folder, width, height)
            print(f"{width}x{height}")
            for preprocessing in KERNELS:
                compare(images, folder, preprocessing, goal, rounds)
                difference(images, preprocessing)
    small(min(rounds, 3))


if __name__ == "__main__":
    main()
