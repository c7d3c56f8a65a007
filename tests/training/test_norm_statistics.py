"""Few steps: the accuracy is of statistics that belong to the weights, and early stopping goes by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convscale as cs
from convscale.data.images import Subset
from convscale.data.loader import Normalise, evaluation_batches
from convscale.nn import build
from convscale.preprocessing import default_preprocessing
from convscale.recipes import recipe
from convscale.training.norm_statistics import IMAGES, renew_statistics

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 200)}
NET = cs.network("small-mbconv").at_resolution(24)


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty noisy squares of three colours to train on, eighteen to test."""
    folder, chance = tmp_path_factory.mktemp("sixty"), np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = np.array(colour) + chance.normal(0, 25, (24, 24, 3))
                left, top = chance.integers(12, size=2)
                pixels[top : top + 8, left : left + 8] = 255
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / split / name / f"{index}.png")
    return folder


def trained(data: Path, run: Path, epochs: int, patience: int = 0, **settings: int) -> cs.Evaluation:
    chosen = replace(recipe("small-images"), batch=16, epochs=epochs, patience=patience)
    return cs.train(NET, data, chosen, run, pictures=False, quiet=True, **settings)[1]


@pytest.mark.long
def test_few_steps_are_judged_by_statistics_of_their_own(sixty: Path, tmp_path: Path) -> None:
    """Twelve steps separate the colours; running statistics do not show it."""
    assert trained(sixty, tmp_path / "fresh", epochs=4).top1 == 1
    assert trained(sixty, tmp_path / "running", epochs=4, fresh_statistics_steps=0).top1 < 0.8


@pytest.mark.long
def test_early_stopping_does_not_stop_where_nothing_could_move(sixty: Path, tmp_path: Path) -> None:
    assert trained(sixty, tmp_path / "run", epochs=30, patience=3).top1 == 1


def test_the_weights_that_are_kept_have_these_statistics(sixty: Path, tmp_path: Path) -> None:
    evaluation = trained(sixty, tmp_path / "run", epochs=4)
    assert cs.evaluate(tmp_path / "run", sixty, quiet=True).top1 == evaluation.top1 == 1


@pytest.mark.parametrize("images", [7, 60, 300])
def test_they_are_the_mean_over_training_images(images: int) -> None:
    digits = cs.open_dataset("digits").train
    part = Subset(digits, np.arange(images))
    network = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
    preprocessing, model = default_preprocessing(8, 1), build(network, seed=0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    momenta = [module.momentum for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    renew_statistics(model, part, preprocessing)
    count = min(IMAGES, images)
    count -= count % min(64, images)
    wanted = Subset(part, np.linspace(0, images - 1, count).round().astype(np.int64))
    normalise = Normalise(preprocessing, torch.device("cpu"))
    pixels = torch.cat([normalise(batch.pixels) for batch in evaluation_batches(wanted, preprocessing, 64)])
    first = model.stem.get_submodule("conv")
    with torch.no_grad():
        outputs = first.conv(pixels)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(first.norm.running_mean, outputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)  # type: ignore[union-attr]
    assert not model.training and all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert [module.momentum for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)] == momenta


def test_statistics_that_overflow_are_not_taken(sixty: Path) -> None:
    """Of weights that diverged: what is kept of a training stays finite."""
    model = build(NET, seed=0)
    next(model.parameters()).data *= 1e25
    before = {name: value.clone() for name, value in model.named_buffers()}
    renew_statistics(model, cs.open_dataset(sixty).train, default_preprocessing(24, 3))
    for name, value in model.named_buffers():
        if value.is_floating_point():
            assert value.equal(before[name]), name
