"""AutoAugment, RandAugment and random erasing: random changes of one image after its crop and flip.

Both policies follow the EfficientNet reference code (tensorflow/tpu, models/official/efficientnet/autoaugment.py):
its sub-policies, levels, nearest-pixel moves and grey (128) where a move leaves nothing. Its operations are written
after Pillow's, which do the work here. Equalize, Invert, Solarize, SolarizeAdd, Brightness and Cutout are equal to the
reference's, AutoContrast, Color and Sharpness to one rounded grey level, moves to pixels that lie halfway. Three more
differences:

- Contrast blends with the mean grey of the image, as Pillow does and as the reference's comments say; its code blends
  with (pixels / 256), at most 255, because it sums the histogram's counts instead of weighting them.
- Posterize keeps int(level / 10 * 4) bits, so a low level changes more; no bits are taken as one, to which TensorFlow's
  shift clamps as well, and more than 8 bits (RandAugment above 20) as all 8, where the reference's shift is negative.
- Solarize at a threshold of 256 (level 10) and above changes nothing, where the reference compares with 8 bits.

Translate and Cutout count in pixels, whatever the image's size, for images of 224 pixels or more: at level 10 the one
leaves nothing of an image of 100 pixels or less, and the other hides most of it. Grey images have no colour to change
and are else treated as one channel of three.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from convscale.data.images import Pixels
from convscale.recipes import Augmentation

MAX_LEVEL = 10.0
GREY = 128

# The share of the image's area and the height over width of an erased box (Zhong et al. 2017, section 3; a third
# and not 0.4 of the area at most, as in their code and timm's).
ERASED_AREA = (0.02, 1 / 3)
ERASED_ASPECT = (0.3, 1 / 0.3)


class Reach(NamedTuple):
    """How far translation goes at level 10, and half the side of Cutout's square, in pixels."""

    translate: float
    cutout: float


class Strength(NamedTuple):
    """share: level / 10, negative for half of the moves. generator: places Cutout's square."""

    share: float
    reach: Reach
    generator: np.random.Generator


AUTOAUGMENT_REACH = Reach(translate=250, cutout=100)
RANDAUGMENT_REACH = Reach(translate=100, cutout=40)

# (operation, probability, level) twice: AutoAugment's ImageNet policy as the reference's `policy_v0` has it.
AUTOAUGMENT = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)


def apply_policy(image: Image.Image, augmentation: Augmentation, generator: np.random.Generator) -> Image.Image:
    """The image after the recipe's policy: 8-bit RGB or L, same size and mode; the same generator state gives the same.

    AutoAugment draws one of 25 sub-policies evenly and applies each of its two operations by its probability;
    RandAugment draws its operations evenly, with replacement, and applies them all. Sources: Cubuk et al. 2018
    (arXiv:1805.09501) and 2019 (arXiv:1909.13719), with the numbers of the module's reference.
    """
    assert image.mode in ("L", "RGB"), image.mode
    if augmentation.policy == "autoaugment":
        for name, probability, level in AUTOAUGMENT[generator.integers(len(AUTOAUGMENT))]:
            if generator.random() < probability:
                image = apply_operation(image, name, level, _reach(AUTOAUGMENT_REACH, image), generator)
    elif augmentation.policy == "randaugment":
        names = list(OPERATIONS)
        for drawn in generator.integers(len(names), size=augmentation.randaugment_layers):
            reach = _reach(RANDAUGMENT_REACH, image)
            image = apply_operation(image, names[drawn], augmentation.randaugment_magnitude, reach, generator)
    return image


def _reach(reach: Reach, image: Image.Image) -> Reach:
    """The reference's pixels from 224 px on; below, the same share of the side, or small images would often be
    nothing but grey."""
    share = min(1.0, min(image.size) / 224)
    return Reach(reach.translate * share, reach.cutout * share)


def apply_operation(
    image: Image.Image, name: str, level: float, reach: Reach, generator: np.random.Generator
) -> Image.Image:
    """One operation of OPERATIONS at a level, 10 for full strength; rotation, shear and translation go either way
    by an even chance."""
    share = level / MAX_LEVEL
    if name in MOVES and generator.random() < 0.5:
        share = -share
    return OPERATIONS[name](image, Strength(share, reach, generator))


def rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Rotate counter-clockwise about the centre."""
    return image.rotate(degrees, Image.Resampling.NEAREST, fillcolor=_grey(image))


def shear(image: Image.Image, x: float, y: float) -> Image.Image:
    """Pixel (column, row) becomes that at (column + x * row, row + y * column): about the first pixel's centre."""
    return _affine(image, (1, x, -x / 2, y, 1, -y / 2))


def translate(image: Image.Image, x: float, y: float) -> Image.Image:
    """Pixel (column, row) becomes that at (column + x, row + y)."""
    return _affine(image, (1, 0, x, 0, 1, y))


def posterize(image: Image.Image, bits: int) -> Image.Image:
    """Keep the highest bits of each value, at least one."""
    return ImageOps.posterize(image, min(max(bits, 1), 8))


def solarize_add(image: Image.Image, addition: int) -> Image.Image:
    """Add to values below 128, up to 255."""
    table = [min(value + addition, 255) if value < 128 else value for value in range(256)]
    return image.point(table * len(image.getbands()))


def cutout(image: Image.Image, pad: int, generator: np.random.Generator) -> Image.Image:
    """A grey square of side 2 * pad about a pixel drawn evenly, cut at the edges (DeVries & Taylor 2017)."""
    if pad == 0:
        return image
    width, height = image.size
    x, y = int(generator.integers(width)), int(generator.integers(height))
    cut = image.copy()
    cut.paste(_grey(image), (max(0, x - pad), max(0, y - pad), min(width, x + pad), min(height, y + pad)))
    return cut


def _affine(image: Image.Image, inverse: tuple[float, ...]) -> Image.Image:
    """Pixel (x, y) becomes the nearest to (ax + by + c, dx + ey + f); Pillow's centres lie at half pixels."""
    kind, nearest = Image.Transform.AFFINE, Image.Resampling.NEAREST
    return image.transform(image.size, kind, inverse, nearest, fillcolor=_grey(image))


def _grey(image: Image.Image) -> int | tuple[int, ...]:
    return GREY if image.mode == "L" else (GREY,) * 3


def _factor(at: Strength) -> float:
    """Weight of the image against its changed form: 1 leaves it as it is; 0.1 to 1.9 for levels 0 to 10."""
    return at.share * 1.8 + 0.1


# RandAugment's operations in the reference's order; AutoAugment's are among them.
OPERATIONS: dict[str, Callable[[Image.Image, Strength], Image.Image]] = {
    "AutoContrast": lambda image, at: ImageOps.autocontrast(image),
    "Equalize": lambda image, at: ImageOps.equalize(image),
    "Invert": lambda image, at: ImageOps.invert(image),
    "Rotate": lambda image, at: rotate(image, at.share * 30),
    "Posterize": lambda image, at: posterize(image, int(at.share * 4)),
    "Solarize": lambda image, at: ImageOps.solarize(image, int(at.share * 256)),
    "Color": lambda image, at: ImageEnhance.Color(image).enhance(_factor(at)),
    "Contrast": lambda image, at: ImageEnhance.Contrast(image).enhance(_factor(at)),
    "Brightness": lambda image, at: ImageEnhance.Brightness(image).enhance(_factor(at)),
    "Sharpness": lambda image, at: ImageEnhance.Sharpness(image).enhance(_factor(at)),
    "ShearX": lambda image, at: shear(image, at.share * 0.3, 0),
    "ShearY": lambda image, at: shear(image, 0, at.share * 0.3),
    "TranslateX": lambda image, at: translate(image, at.share * at.reach.translate, 0),
    "TranslateY": lambda image, at: translate(image, 0, at.share * at.reach.translate),
    "Cutout": lambda image, at: cutout(image, int(at.share * at.reach.cutout), at.generator),
    "SolarizeAdd": lambda image, at: solarize_add(image, int(at.share * 110)),
}
MOVES = {"Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"}


def erase(pixels: Pixels, probability: float, generator: np.random.Generator) -> Pixels:
    """Random erasing: by `probability`, a box of uint8 (channels, height, width) pixels becomes noise.

    Each value of the box is drawn evenly from 0 to 255 by itself (Zhong et al. 2017, algorithm 1; timm's "pixel" mode
    draws normal values after normalisation instead). Area and log aspect are drawn evenly; the box is smaller than the
    image in both directions, and where ten draws do not fit nothing is erased, as timm does. The input is not changed.
    """
    if generator.random() >= probability:
        return pixels
    channels, height, width = pixels.shape
    for _ in range(10):
        area = height * width * generator.uniform(*ERASED_AREA)
        aspect = math.exp(generator.uniform(math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1])))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < h < height and 0 < w < width:
            top, left = int(generator.integers(height - h + 1)), int(generator.integers(width - w + 1))
            erased = pixels.copy()
            erased[:, top : top + h, left : left + w] = generator.integers(0, 256, (channels, h, w), np.uint8)
            return erased
    return pixels
