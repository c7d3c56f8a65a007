"""Images of given, smooth and random values, the two policies, and an operation at a level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscale.data.policies import RANDAUGMENT_REACH, apply_operation
from convscale.recipes import Augmentation

Array = NDArray[Any]
AUTO, RAND = Augmentation(policy="autoaugment"), Augmentation(policy="randaugment")


def image_of(values: Any) -> Image.Image:
    return Image.fromarray(np.array(values, dtype=np.uint8))


def smooth_image(height: int = 64, width: int = 48, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Random colours that change slowly from pixel to pixel."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def noise_image(height: int, width: int, mode: str, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def at_level(image: Image.Image, name: str, level: float, seed: int = 0) -> Image.Image:
    return apply_operation(image, name, level, RANDAUGMENT_REACH, np.random.default_rng(seed))
