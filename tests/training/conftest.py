"""What several files train once: photographs, the run that nothing interrupted, the weights that tuning begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.data.images import ArrayImages
from convscale.recipes import Augmentation, Recipe
from tests.images import digit_photos
from tests.training.small_runs import IMAGES, NETWORK, trained


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of three classes as files."""
    return digit_photos(tmp_path_factory.mktemp("photos"), IMAGES // 3)


@pytest.fixture(scope="session")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    trained(photos, run)
    return run


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that has seen the digits 5 to 9: what it sees in 0 to 4 is worth something."""
    data = cs.open_dataset("digits")

    def others(part: Any) -> ArrayImages:
        whole, indices = part.whole, part.indices[part.labels >= 5]
        return ArrayImages(whole.pixels[indices], whole.labels[indices] - 5, "others")

    known = replace(data, train=others(data.train), test=others(data.test), classes=data.classes[5:])
    run = tmp_path_factory.mktemp("before") / "run"
    recipe = Recipe(note="a test", epochs=3, batch=32, learning_rate=0.05, augmentation=Augmentation(crop="shift"))
    _, evaluation = cs.train(NETWORK, known, recipe, run, pictures=False, quiet=True)
    assert evaluation.top1 > 0.8
    return run / "weights.safetensors"
