"""Fixtures of all dialects: seeded peers, and images to verify with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Peers draw their weights from PyTorch's own generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three images."""
    folder = tmp_path_factory.mktemp("noise")
    for index in range(3):
        Image.effect_noise((90 + index, 80), 60).convert("RGB").save(folder / f"{index}.png")
    return folder
