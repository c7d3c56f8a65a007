"""Transfer learning on photographs: the linear probe against timm and a script, few images, fine-tuning.

    CONVSCALE_TEST_DATA=... python bench/transfer.py probe   # Imagenette at 224 px, all images; beside timm
    CONVSCALE_TEST_DATA=... python bench/transfer.py few     # 20 images per class, five draws
    CONVSCALE_TEST_DATA=... python bench/transfer.py tune    # CIFAR-10 at 96 px, 4,000 images: probe and fine-tuning

From MobileNetV2's ImageNet weights. Hyper-parameters are chosen on the training split. Most of Imagenette's images are
ImageNet training images, which the weights have seen: a sanity check, not a claim.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np

import convscale as cs
from convscale import machine
from convscale.data import Dataset
from convscale.data.images import Subset
from convscale.dialects import Choices
from convscale.headers import read_header
from convscale.statistics import wilson_interval

HERE = Path(__file__).resolve().parent
WEIGHTS = "mobilenetv2_100_imagenet1k.safetensors"
# Runs a script that imports timm where torchvision does not import.
WITHOUT_TORCHVISION = """
import runpy, sys
from tests import peers
peers.timm()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PER_CLASS, DRAWS = 20, 5
TEST_IMAGES = 3925
TUNED_ON, TESTED_ON, TUNED_AT, TUNED_EPOCHS = 4000, 2000, 96, 3


def converted(source: Path, folder: Path) -> Path:
    """The weights as a file of ours, with the padding, eps and preprocessing that they were trained with."""
    target = folder / "mobilenet.safetensors"
    choices = Choices(padding="same", norm_eps=1e-3, mean=(0.5,), std=(0.5,))
    cs.convert(source / "weights" / WEIGHTS, target, choices=choices)
    return target


def probe(source: Path, folder: Path, rounds: int) -> None:
    """The commands themselves, in turns, each as a process."""
    data, weights = source / "imagenette144", converted(source, folder)
    script = HERE / "timm_probe.py"
    lines = script.read_text().split('"""')[2].splitlines()
    for number in range(rounds):
        run = folder / f"run-{number}"
        options = ["--recipe", "linear-probe", "--data", str(data), "--json", "-o", str(run)]
        ours = [sys.executable, "-m", "convscale", "train", str(weights), "--weights", str(weights), *options]
        theirs = [
            sys.executable, "-c", WITHOUT_TORCHVISION, str(script), str(source / "weights" / WEIGHTS),
            str(data / "train.parquet"), str(data / "val.parquet"),
        ]  # fmt: skip
        sides = {"ours": ours, "timm": theirs}
        seconds: dict[str, float] = {}
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            started = time.perf_counter()
            ended = subprocess.run(sides[name], check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
            seconds[name] = time.perf_counter() - started
            top1 = json.loads(ended.stdout)["top1"] if name == "ours" else float(ended.stdout.split()[-1])
            low, high = wilson_interval(top1 * TEST_IMAGES, TEST_IMAGES)
            words = "2 lines: convert, train" if name == "ours" else f"{sum(map(bool, lines))} lines"
            print(
                f"{name}  top-1 {top1:.4f} ({low:.4f} to {high:.4f})  {seconds[name] / 60:.2f} min  {words}", flush=True
            )
        print(f"ours / timm: {seconds['ours'] / seconds['timm']:.2f} of the time", flush=True)


def few(source: Path, folder: Path) -> None:
    """A mean over draws of the training images; all of the test split each time."""
    weights = converted(source, folder)
    data = cs.open_dataset(source / "imagenette144")
    found = []
    for draw in range(DRAWS):
        generator = np.random.default_rng(draw)
        classes = [np.flatnonzero(data.train.labels == label) for label in range(len(data.classes))]
        drawn = np.concatenate([generator.permutation(members)[:PER_CLASS] for members in classes])
        small = replace(data, train=Subset(data.train, np.sort(drawn)))
        found.append(_train(small, weights, cs.recipe("linear-probe"), folder / f"few-{draw}", 224).top1)
        print(f"draw {draw}: top-1 {found[-1]:.4f} with {len(drawn)} images", flush=True)
    print(f"mean of {DRAWS} draws: {mean(found):.4f}, {min(found):.4f} to {max(found):.4f}")


def tune(source: Path, folder: Path) -> None:
    """The probe, fine-tuning, and fine-tuning with statistics of batch norm from the batches, on the same images."""
    weights = converted(source, folder)
    data = cs.open_dataset(source / "cifar10")
    generator = np.random.default_rng(0)
    train, test = (
        Subset(whole, np.sort(generator.permutation(len(whole))[:count]))
        for whole, count in ((data.train, TUNED_ON), (data.test, TESTED_ON))
    )
    small = replace(data, train=train, test=test)
    finetune = cs.recipe("finetune").with_changes(epochs=TUNED_EPOCHS)
    for name, recipe in (
        ("linear probe", cs.recipe("linear-probe")),
        ("fine-tuning", finetune),
        ("fine-tuning, BN momentum 0.01", replace(finetune, norm_statistics="batch", norm_momentum=0.01)),
    ):
        started = time.perf_counter()
        evaluation = _train(small, weights, recipe, folder / name.replace(" ", "-"), TUNED_AT)
        low, high = evaluation.interval95
        minutes = (time.perf_counter() - started) / 60
        print(f"{name:<30} top-1 {evaluation.top1:.4f} ({low:.4f} to {high:.4f})  {minutes:.1f} min", flush=True)


def _train(data: Dataset, weights: Path, recipe: cs.Recipe, run: Path, resolution: int) -> cs.Evaluation:
    network = read_header(weights).network.at_resolution(resolution)
    return cs.train(network, data, recipe, run, quiet=True, weights=str(weights))[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("probe", "few", "tune"))
    parser.add_argument("--rounds", type=int, default=1, help="of probe, in turns")
    options = parser.parse_args()
    if "CONVSCALE_TEST_DATA" not in os.environ:
        raise SystemExit("CONVSCALE_TEST_DATA is not set: it names the folder of photographs and weights")
    source = Path(os.environ["CONVSCALE_TEST_DATA"]).absolute()
    versions = {**machine.versions(("torch", "timm", "pillow")), "load": machine.load_average()}
    print("  ".join(f"{name} {value}" for name, value in versions.items()), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "probe":
            probe(source, folder, options.rounds)
        else:
            {"few": few, "tune": tune}[options.what](source, folder)


if __name__ == "__main__":
    main()
