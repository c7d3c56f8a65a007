"""Make small files of every kind that is kept: `python tests/data/golden/make.py tests/data/golden/vN`.

Each format version's folder is made once, by the last code that writes that version, and never again: what is in it
must mean the same to all later code (tests/test_golden.py).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import convscale as cs
from convscale.catalog import read_network
from convscale.errors import TrainingStopped
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.runs import Run
from convscale.studies.coefficients import TrainingSearch, search_by_training
from convscale.studies.families import FamilyTraining, train_family
from convscale.studies.spec import read_study
from convscale.trials.trial import DataChoice

NETWORK = """\
name = "tiny"
resolution = 8
num_classes = 10

[stem]
channels = 8
stride = 1

[[stages]]
channels = 8
stride = 1
rows = [{ type = "mbconv", kernel = 3, expansion = 1, squeeze = { ratio = 0.25 }, repeats = 1 }]

[[stages]]
channels = 12
stride = 2
rows = [{ type = "mbconv", kernel = 3, expansion = 2, repeats = 1 }]

[head]
type = "conv-pool"
channels = 16
"""
RECIPE = """\
note = "a recipe that leaves much to the defaults"
epochs = 1
batch = 64
learning_rate = 0.05
ema_decay = 0.9

[augmentation]
crop = "shift"
"""
STUDY = """\
name = "tiny"
baselines = ["small-mbconv"]
resolution = 16
costs = [4]
lengths = [1, 2]
seeds = 2
recipe = "digits"

[data]
source = "digits"
train_images = 100
test_images = 100

[[methods]]
law = "compound"
"""
DATA = DataChoice(source="digits", train_images=100, test_images=100)
NOT_NEEDED = ("pictures", "best.safetensors", "lock", "study.sqlite", "report.md", "rows.csv", "candidates.csv")


def main(folder: Path) -> None:
    """Write the files, and what they mean into expected.json."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    for name, text in {"network.toml": NETWORK, "recipe.toml": RECIPE, "study.toml": STUDY}.items():
        (folder / name).write_text(text)
    network, recipe = read_network(folder / "network.toml"), cs.recipe(folder / "recipe.toml")
    expected = trained(network, recipe, folder) | resumed(network, replace(recipe, epochs=2), folder)
    expected |= studied(folder)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (folder / "budget.toml").write_text('macs = "600M"\nparams = 5000000\nlatency_seconds = "15ms"\n')
    (folder / "budget.json").write_text('{"macs": 6e8, "file_bytes": "20MB"}\n')
    for path in sorted(folder.rglob("*"), reverse=True):
        weights = path.suffix == ".safetensors" and "attempt-1" in path.parts
        if path.name in NOT_NEEDED or weights or path.suffix == ".log":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def trained(network: ConvNet, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """A finished run: its accuracy, logits of a fixed input, features of images as the file prepares them."""
    run, evaluation = cs.train(network, "digits", recipe, folder / "run", quiet=True)
    return {
        "top1": evaluation.top1,
        "logits": logits(cs.load(run.weights)),
        "features": cs.features(run.weights, cs.open_dataset("digits").test)[:4].tolist(),
        "costs": cs.cost(network).as_dict(),
    }


def logits(model: cs.Model) -> list[list[float]]:
    """Of a fixed input."""
    with torch.no_grad():
        return model(torch.linspace(-2, 2, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)).tolist()


def resumed(network: ConvNet, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """An interrupted run, and what the same training comes to uninterrupted."""
    whole, evaluation = cs.train(network, "digits", recipe, folder / "whole", quiet=True)
    state = whole.result()
    assert state is not None
    shutil.rmtree(whole.path)
    append = Run.append_metrics

    def stop(run: Run, record: Any) -> None:
        append(run, record)
        os.kill(os.getpid(), signal.SIGTERM)

    Run.append_metrics = stop
    try:
        cs.train(network, "digits", recipe, folder / "unfinished", quiet=True)
    except TrainingStopped:
        return {"resumed_top1": evaluation.top1, "resumed_state_sha256": state.state_sha256}
    finally:
        Run.append_metrics = append
    raise AssertionError("the training was not interrupted")


def studied(folder: Path) -> dict[str, Any]:
    """A study, a search for coefficients, a trained family: what each found."""
    executor = cs.LocalExecutor(workers=1)
    study = cs.run_study(read_study(folder / "study.toml"), folder / "study", executor, quiet=True)
    small = cs.network("small-mbconv").at_resolution(16)
    digits = cs.recipe("digits").with_changes(epochs=1)
    options = {"share_step": 0.5, "seeds": 1, "final_seeds": 2, "keep": 2, "probe": 3, "trust": -1.0, "budget": 5.0}
    search = TrainingSearch(baseline=small, data=DATA, recipe=digits, epochs=(1, 2), options=options)
    found = search_by_training(search, folder / "coefficients", executor, quiet=True)
    law = cs.law("compound")
    training = FamilyTraining(baseline=small, law=law, phis=(0.0, 1.0), data=DATA, recipe=digits, seeds=1)
    members = train_family(training, folder / "family", executor, quiet=True)
    executor.close()
    return {
        "study": [row.accuracy for row in study.rows],
        "coefficients": [found.alpha, found.beta, found.gamma],
        "family": [member.accuracy for member in members],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
