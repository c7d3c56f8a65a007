"""Pixels of images, uint8, as the inputs of an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convscale.data.loader import Normalise
from convscale.deploy.engines.protocol import Floats
from convscale.preprocessing import Preprocessing


def with_preprocessing(preprocessing: Preprocessing) -> Callable[[NDArray[Any]], Floats]:
    """What turns (n, channels, h, w) uint8 into the network's float32."""
    normalise = Normalise(preprocessing, torch.device("cpu"))

    def prepare(pixels: NDArray[Any]) -> Floats:
        return np.ascontiguousarray(normalise(torch.from_numpy(np.ascontiguousarray(pixels))).numpy())

    return prepare


def unchanged(pixels: NDArray[Any]) -> Floats:
    """The pixels, which are inputs already."""
    return pixels
