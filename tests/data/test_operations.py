"""Single operations of policies: by hand, against arithmetic of their own, kornia and Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from convscale.data.policies import (
    AUTOAUGMENT_REACH,
    MOVES,
    OPERATIONS,
    RANDAUGMENT_REACH,
    apply_operation,
    cutout,
    posterize,
    rotate,
    shear,
    solarize_add,
    translate,
)
from tests.data.drawn_images import Array, at_level, image_of, noise_image, smooth_image

# By hand


@pytest.mark.parametrize(
    ("name", "level", "before", "after"),
    [
        ("Invert", 3, [[0, 100, 255]], [[255, 155, 0]]),
        ("AutoContrast", 3, [[50, 100, 150]], [[0, 127, 255]]),  # 50 * 2.55 = 127.5, cut
        ("AutoContrast", 3, [[70, 70, 70]], [[70, 70, 70]]),
        ("Posterize", 5, [[255, 130, 100, 63]], [[192, 128, 64, 0]]),  # 2 bits
        ("Posterize", 2, [[255, 130, 100]], [[128, 128, 0]]),  # no bits, taken as one
        ("Posterize", 30, [[255, 130, 101]], [[255, 130, 101]]),  # 12 bits, taken as eight
        ("Solarize", 5, [[127, 128, 255]], [[127, 127, 0]]),
        ("Solarize", 10, [[0, 128, 255]], [[0, 128, 255]]),
        ("Solarize", 0, [[0, 128, 255]], [[255, 127, 0]]),
        ("SolarizeAdd", 10, [[0, 127, 128, 200]], [[110, 237, 128, 200]]),
        ("Brightness", 10, [[0, 100, 200]], [[0, 190, 255]]),
        ("Brightness", 5, [[0, 100, 200]], [[0, 100, 200]]),
        ("Contrast", 10, [[0, 100, 200]], [[0, 100, 255]]),
        ("Contrast", 2.5, [[0, 100, 200]], [[45, 100, 155]]),
        ("Color", 0, [[[255, 0, 0]]], [[[93, 68, 68]]]),  # grey 76, then a tenth of the way to the colour
        ("Color", 0, [[0, 100, 200]], [[0, 100, 200]]),
        ("Sharpness", 10, [[0, 0, 0], [0, 130, 0], [0, 0, 0]], [[0, 0, 0], [0, 202, 0], [0, 0, 0]]),  # 50 + 1.9 * 80
        ("Sharpness", 0, [[0, 0, 9], [0, 130, 0], [0, 0, 0]], [[0, 0, 9], [0, 58, 0], [0, 0, 0]]),  # edges stay
    ],
)
def test_values(name: str, level: float, before: Any, after: Any) -> None:
    assert np.array(at_level(image_of(before), name, level)).tolist() == after


def test_equalize_by_hand() -> None:
    """255 pixels each of 10, 20 and 30 and half as many counted a step: a step of 2, tables at 0, 128 and 255."""
    after = np.array(at_level(image_of([[10] * 255 + [20] * 255 + [30] * 9]), "Equalize", 5))[0]
    assert after[[0, 255, 510]].tolist() == [0, 128, 255]
    few = image_of([[1, 2, 3]])  # fewer than 255 pixels below the highest value: no step, no change
    assert at_level(few, "Equalize", 5).tobytes() == few.tobytes()


def test_moves_by_hand() -> None:
    nine = image_of([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    moved = [translate(nine, 1, 0), translate(nine, 0, -2), shear(nine, 1, 0), shear(nine, 0, -1), rotate(nine, 90)]
    assert [np.array(image).tolist() for image in moved] == [
        [[2, 3, 128], [5, 6, 128], [8, 9, 128]],
        [[128, 128, 128], [128, 128, 128], [1, 2, 3]],
        [[1, 2, 3], [5, 6, 128], [9, 128, 128]],
        [[1, 128, 128], [4, 2, 128], [7, 5, 3]],
        [[3, 6, 9], [2, 5, 8], [1, 4, 7]],
    ]


def test_cutout_by_hand() -> None:
    """A square of 2 x 2 whose last pixel is drawn: each of the 4 x 4 places is met, those at the edges cut."""
    seen = {cutout(image_of(np.zeros((4, 4))), 1, np.random.default_rng(seed)).tobytes() for seed in range(300)}
    expected = set()
    for y, x in product(range(4), range(4)):
        square = np.zeros((4, 4), dtype=np.uint8)
        square[max(0, y - 1) : y + 1, max(0, x - 1) : x + 1] = 128
        expected.add(square.tobytes())
    assert seen == expected
    assert cutout(nine := image_of(np.eye(3)), 0, np.random.default_rng(0)).tobytes() == nine.tobytes()


def test_pixels_that_level_10_goes() -> None:
    """The reference's: translate_const and cutout_const, 250 and 100 with AutoAugment, 100 and 40 with RandAugment."""
    white = image_of(np.full((600, 600), 255))
    for reach in (AUTOAUGMENT_REACH, RANDAUGMENT_REACH):
        far, half = (250, 100) if reach is AUTOAUGMENT_REACH else (100, 40)
        for name in ("TranslateX", "TranslateY"):
            moved = np.array(apply_operation(white, name, 10, reach, np.random.default_rng(0)))
            assert (moved == 128).sum() == far * 600
        squares = [apply_operation(white, "Cutout", 10, reach, np.random.default_rng(seed)) for seed in range(20)]
        assert max(int((np.array(square) == 128).sum()) for square in squares) == (2 * half) ** 2


# Against arithmetic written after the reference's, in single precision where TensorFlow has it


def blend(changed: Array, pixels: Array, factor: float) -> Array:
    mixed = changed.astype(np.float32) + np.float32(factor) * (pixels.astype(np.float32) - changed.astype(np.float32))
    return np.clip(mixed, 0, 255).astype(np.uint8)


def by_channel(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda pixels: np.stack([change(pixels[..., c]) for c in range(3)], axis=-1)


def equalized(channel: Array) -> Array:
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (channel.size - counts[channel.max()]) // 255
    table = np.clip((np.concatenate([[0], np.cumsum(counts)[:-1]]) + step // 2) // max(step, 1), 0, 255)
    return table[channel].astype(np.uint8) if step else channel


def autocontrasted(channel: Array) -> Array:
    low, high = np.float32(channel.min()), np.float32(channel.max())
    scale = np.float32(255) / (high - low)
    return np.clip(channel.astype(np.float32) * scale - low * scale, 0, 255).astype(np.uint8)


def greyed(pixels: Array) -> Array:
    return np.repeat((pixels @ np.array([0.2989, 0.587, 0.114]) + 0.5).astype(np.uint8)[..., None], 3, axis=-1)


def smoothed(pixels: Array) -> Array:
    result, inner = pixels.copy(), pixels[1:-1, 1:-1].astype(np.int64) * 4
    for dy, dx in product(range(3), range(3)):
        inner = inner + pixels[dy : dy + pixels.shape[0] - 2, dx : dx + pixels.shape[1] - 2]
    result[1:-1, 1:-1] = inner // 13
    return result


def nearest(pixels: Array, a: float, b: float, c: float, d: float, e: float, f: float) -> tuple[Array, Array]:
    """Pixel (x, y) becomes that at (ax + by + c, dx + ey + f), rounded; 128 where there is none. Second, which
    pixels come from no point halfway between two, where rounding is a matter of taste."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    from_x, from_y = np.floor(a * x + b * y + c + 0.5), np.floor(d * x + e * y + f + 0.5)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    result = np.full_like(pixels, 128)
    result[inside] = pixels[from_y[inside].astype(int), from_x[inside].astype(int)]
    clear = [np.abs(v - np.floor(v) - 0.5) > 2e-3 for v in (a * x + b * y + c, d * x + e * y + f)]
    return result, clear[0] & clear[1]


@pytest.mark.parametrize("level", [0, 1, 4, 7, 10, 17, 30])
@pytest.mark.parametrize("make", [smooth_image, lambda: noise_image(40, 33, "RGB", seed=3)])
def test_values_are_the_reference_s(level: float, make: Callable[[], Image.Image]) -> None:
    image = make()
    pixels, factor = np.array(image), level / 10 * 1.8 + 0.1
    shift, threshold = 8 - min(8, max(1, int(level / 10 * 4))), int(level / 10 * 256)
    wide = pixels.astype(np.int64)
    expected = {
        "Equalize": by_channel(equalized)(pixels),
        "Invert": 255 - pixels,
        "Posterize": pixels >> shift << shift,
        "Solarize": np.where(wide < threshold, pixels, 255 - pixels),
        "SolarizeAdd": np.where(pixels < 128, np.clip(wide + int(level / 10 * 110), 0, 255), pixels),
        "Brightness": blend(np.zeros_like(pixels), pixels, factor),
    }
    for name, wanted in expected.items():
        np.testing.assert_array_equal(np.array(at_level(image, name, level)), wanted, err_msg=name)
    mean = np.full_like(pixels, round(greyed(pixels)[..., 0].mean()))
    nearly = {  # a rounded grey level of the changed image, weighed by how far the blend goes from it
        "AutoContrast": (by_channel(autocontrasted)(pixels), 1),
        "Color": (blend(greyed(pixels), pixels, factor), 1 + abs(1 - factor)),
        "Sharpness": (blend(smoothed(pixels), pixels, factor), 1 + abs(1 - factor)),
        "Contrast": (blend(mean, pixels, factor), 1 + abs(1 - factor)),
    }
    for name, (wanted, off) in nearly.items():
        np.testing.assert_allclose(np.array(at_level(image, name, level), int), wanted, 0, off, err_msg=name)


@pytest.mark.parametrize("share", [-1.0, -0.37, 0.0, 0.61, 1.0, 3.0])
def test_moves_are_the_reference_s(share: float) -> None:
    """Pixel by pixel, but for sources halfway between two."""
    image = noise_image(64, 48, "RGB")
    pixels, angle = np.array(image), math.radians(share * 30)
    cos, sin, x, y = math.cos(angle), math.sin(angle), (48 - 1) / 2, (64 - 1) / 2
    pairs = [
        (rotate(image, share * 30), nearest(pixels, cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)),
        (shear(image, share * 0.3, 0), nearest(pixels, 1, share * 0.3, 0, 0, 1, 0)),
        (shear(image, 0, share * 0.3), nearest(pixels, 1, 0, 0, share * 0.3, 1, 0)),
        (translate(image, share * 20, 0), nearest(pixels, 1, 0, share * 20, 0, 1, 0)),
        (translate(image, 0, share * 20), nearest(pixels, 1, 0, 0, 0, 1, share * 20)),
    ]
    for ours, (wanted, clear) in pairs:
        np.testing.assert_array_equal(np.array(ours)[clear], wanted[clear])
        assert clear.mean() > 0.85


@pytest.mark.parametrize("name", sorted(MOVES))
def test_moves_go_either_way_at_their_level(name: str) -> None:
    image = noise_image(220, 210, "L")
    amount = {"Rotate": 30 * 0.7, "ShearX": 0.3 * 0.7, "ShearY": 0.3 * 0.7}.get(name, 100 * 0.7)
    change: Callable[[float], Image.Image] = {
        "Rotate": lambda sign: rotate(image, sign * amount),
        "ShearX": lambda sign: shear(image, sign * amount, 0),
        "ShearY": lambda sign: shear(image, 0, sign * amount),
        "TranslateX": lambda sign: translate(image, sign * amount, 0),
        "TranslateY": lambda sign: translate(image, 0, sign * amount),
    }[name]
    ways = [change(1.0).tobytes(), change(-1.0).tobytes()]
    seen = [ways.index(at_level(image, name, 7, seed).tobytes()) for seed in range(100)]
    assert 30 < sum(seen) < 70


# Against kornia, Pillow, and grey against colour


def unit(image: Image.Image) -> Tensor:
    """(1, 3, height, width), 0 to 1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def test_values_are_kornia_s(kornia: Any) -> None:
    image, enhance = smooth_image(), kornia.enhance
    pixels, factor = unit(image), 0.7 * 1.8 + 0.1  # level 7
    exact = {
        "Equalize": enhance.equalize(pixels + 0.25 / 255),  # a quarter of a level, so that it reads whole ones
        "Invert": enhance.invert(pixels),
        "Posterize": enhance.posterize(pixels + 0.25 / 255, 2),
        "Solarize": enhance.solarize(pixels, 178.5 / 255),
    }
    blends = {
        "Brightness": enhance.adjust_brightness_accumulative(pixels, factor),
        "Contrast": enhance.adjust_contrast_with_mean_subtraction(pixels, factor),
        "Color": enhance.adjust_saturation_with_gray_subtraction(pixels, factor),
        "Sharpness": enhance.sharpness(pixels, factor),
        "AutoContrast": enhance.normalize_min_max(pixels),
    }
    for name, wanted in (exact | blends).items():
        ours = unit(at_level(image, name, 7)) * 255
        torch.testing.assert_close(ours, wanted * 255, atol=0.01 if name in exact else 2.0, rtol=0, msg=name)


@pytest.mark.parametrize(("degrees", "slope", "pixels"), [(21.0, 0.21, 7.0), (-30.0, -0.303, -40.0), (4.0, 0.913, 1.0)])
def test_moves_are_kornia_s(kornia: Any, degrees: float, slope: float, pixels: float) -> None:
    geometry, image = kornia.geometry.transform, smooth_image()
    around_grey = unit(image) - 128 / 255
    how: dict[str, Any] = {"mode": "nearest", "align_corners": True}
    pairs = [
        (rotate(image, degrees), geometry.rotate(around_grey, torch.tensor([degrees]), **how)),
        (shear(image, slope, 0), geometry.shear(around_grey, torch.tensor([[-slope, 0.0]]), **how)),
        (shear(image, 0, slope), geometry.shear(around_grey, torch.tensor([[0.0, -slope]]), **how)),
        (translate(image, pixels, 0), geometry.translate(around_grey, torch.tensor([[-pixels, 0.0]]), **how)),
        (translate(image, 0, pixels), geometry.translate(around_grey, torch.tensor([[0.0, -pixels]]), **how)),
    ]
    for ours, theirs in pairs:
        off = (unit(ours) - theirs - 128 / 255).abs() * 255 > 0.01
        assert off.any(1).float().mean() < 0.01


def test_grey_images_change_as_colour_images_without_colour() -> None:
    """All but Color, which leaves grey as it is: the same values in three channels."""
    grey = noise_image(30, 40, "L")
    for name, seed in product(OPERATIONS, range(4)):
        ours, colour = at_level(grey, name, 8, seed), at_level(grey.convert("RGB"), name, 8, seed)
        assert ours.convert("RGB").tobytes() == colour.tobytes(), name


def test_pillow_s_own_names() -> None:
    """The parts that are Pillow's are called as meant: level 10 is a factor of 1.9."""
    image = smooth_image()
    for name in ("Color", "Contrast", "Brightness", "Sharpness"):
        wanted = getattr(ImageEnhance, name)(image).enhance(10 / 10 * 1.8 + 0.1)
        assert at_level(image, name, 10).tobytes() == wanted.tobytes()
    assert posterize(image, 3).tobytes() == ImageOps.posterize(image, 3).tobytes()
    assert solarize_add(image, 0).tobytes() == image.tobytes()
