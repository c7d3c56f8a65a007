"""From a decoded image to the pixels of a network's input, for evaluation and, with chance, for training."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from convscale.data.images import Pixels
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def evaluation_pixels(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Shorter side to `resize`, central crop: (channels, size, size) uint8."""
    size = preprocessing.size
    scale = preprocessing.resize / min(image.size)
    width, height = (max(preprocessing.resize, round(side * scale)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), _RESAMPLING[preprocessing.interpolation])
    left, top = (width - size) // 2, (height - size) // 2
    if (width, height) != (size, size):
        image = image.crop((left, top, left + size, top + size))
    return _pixels(image)


def training_pixels(
    image: Image.Image,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    generator: np.random.Generator,
) -> Pixels:
    """One random view of an image, (channels, size, size) uint8; the same generator state gives the same."""
    size = preprocessing.size
    if augmentation.crop == "resized":
        box = _random_box(image.size, augmentation.scale_min, generator)
        pixels = _pixels(image.resize((size, size), _RESAMPLING[preprocessing.interpolation], box=box))
    else:
        pixels = evaluation_pixels(image, preprocessing)
        if augmentation.crop == "shift":
            reach = max(1, round(size * augmentation.shift))
            top, left = generator.integers(0, 2 * reach + 1, 2)
            padded = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
            pixels = padded[:, top : top + size, left : left + size]
    if augmentation.flip and generator.random() < 0.5:
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def _pixels(image: Image.Image) -> Pixels:
    array = np.array(image)  # a copy: PIL keeps its own read-only
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _random_box(size: tuple[int, int], scale_min: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """A box of `scale_min` to all of the area, sides 3:4 to 4:3; the whole image where ten draws do not fit."""
    width, height = size
    for _ in range(10):
        area = width * height * generator.uniform(scale_min, 1)
        ratio = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(generator.integers(width - w + 1)), int(generator.integers(height - h + 1))
            return left, top, left + w, top + h
    return 0, 0, width, height
