"""Policies, erasing and mixing: by hand, against arithmetic of their own, timm and kornia, and by their statistics."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats
from torch import Tensor

from convscale.data import policies
from convscale.data.mixing import mix
from convscale.data.policies import (
    AUTOAUGMENT,
    AUTOAUGMENT_REACH,
    MOVES,
    OPERATIONS,
    RANDAUGMENT_REACH,
    Reach,
    apply_operation,
    apply_policy,
    cutout,
    erase,
    posterize,
    rotate,
    shear,
    solarize_add,
    translate,
)
from convscale.recipes import Augmentation
from tests import peers

Array = NDArray[Any]
AUTO, RAND = Augmentation(policy="autoaugment"), Augmentation(policy="randaugment")
MODES = pytest.mark.parametrize("mode", ["L", "RGB"])


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


# Against timm and kornia


@pytest.fixture(scope="module")
def timm_policies() -> Any:
    """timm's module, whose Posterize fails on no bits with a newer Pillow."""
    peers.timm()
    from timm.data import auto_augment

    def clamped(image: Image.Image, bits: int, **_: Any) -> Image.Image:
        return ImageOps.posterize(image, min(8, max(1, bits)))

    patch = pytest.MonkeyPatch()
    patch.setitem(auto_augment.NAME_TO_OP, "Posterize", clamped)
    yield auto_augment
    patch.undo()


@pytest.fixture(scope="module")
def kornia() -> Any:
    return pytest.importorskip("kornia")


def timm_hparams(side: int) -> dict[str, Any]:
    return {"img_mean": (128,) * 3, "interpolation": Image.Resampling.NEAREST, "translate_pct": 250 / side}


def test_sub_policies_are_timm_s(timm_policies: Any) -> None:
    theirs = timm_policies.auto_augment_policy_v0({})
    names = [[(op.name.removesuffix("Rel"), op.prob, op.magnitude) for op in pair] for pair in theirs]
    assert names == [list(pair) for pair in AUTOAUGMENT]


def change(before: Image.Image, after: Image.Image) -> float:
    """Mean absolute change of a value."""
    return float(np.abs(np.asarray(after, dtype=np.int64) - np.asarray(before)).mean())


def test_autoaugment_changes_images_as_much_as_timm_s(timm_policies: Any) -> None:
    image, draws = smooth_image(64, 64), 1200
    generator, chance = np.random.default_rng(1), random.getstate()
    ours = [change(image, apply_policy(image, AUTO, generator)) for _ in range(draws)]
    random.seed(1)
    policy = timm_policies.AutoAugment(timm_policies.auto_augment_policy_v0(timm_hparams(64)))
    theirs = [change(image, policy(image)) for _ in range(draws)]
    random.setstate(chance)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.08)
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.08)


def test_randaugment_operations_change_images_as_timm_s(timm_policies: Any) -> None:
    """Every operation but Cutout, which timm lacks: the same two outcomes, or the same one."""
    image = smooth_image(64, 64)
    for name, level in product(OPERATIONS.keys() - {"Cutout"}, (3, 9, 10)):
        theirs_hparams = {**timm_hparams(64), "translate_const": 100}
        op = timm_policies.AugmentOp(name, prob=1.0, magnitude=level, hparams=theirs_hparams)
        ours = sorted({round(change(image, at_level(image, name, level, seed)), 3) for seed in range(20)})
        theirs = sorted({round(change(image, op(image)), 3) for _ in range(20)})
        assert ours == pytest.approx(theirs, rel=0.05), name  # shears differ by their centre, half a pixel


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


# What is drawn, and how often


def recorded(monkeypatch: pytest.MonkeyPatch, augmentation: Augmentation, draws: int) -> list[tuple[str, float]]:
    """(operation, level) of all operations that the policy applies in so many draws."""
    seen: list[tuple[str, float]] = []

    def record(image: Image.Image, name: str, level: float, reach: Reach, _: Any) -> Image.Image:
        assert reach == (AUTOAUGMENT_REACH if augmentation.policy == "autoaugment" else RANDAUGMENT_REACH)
        seen.append((name, level))
        return image

    monkeypatch.setattr(policies, "apply_operation", record)
    generator, image = np.random.default_rng(5), Image.new("L", (224, 224))
    for _ in range(draws):
        apply_policy(image, augmentation, generator)
    return seen


def test_sub_policies_are_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "AUTOAUGMENT", [(("Invert", 1.0, i), ("Invert", 1.0, i)) for i in range(25)])
    counts = Counter(level for _, level in recorded(monkeypatch, AUTO, 5000))
    assert len(counts) == 25 and stats.chisquare(list(counts.values())).pvalue > 0.01


def test_operations_of_sub_policies_are_applied_by_their_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, expected = 20_000, Counter[tuple[str, float]]()
    counts = Counter(recorded(monkeypatch, AUTO, draws))
    for name, probability, level in (operation for pair in AUTOAUGMENT for operation in pair):
        expected[name, level] += probability / 25  # type: ignore[assignment]
    assert counts.keys() == {key for key, share in expected.items() if share > 0}
    for key, share in expected.items():
        assert counts[key] == pytest.approx(draws * share, abs=4 * math.sqrt(draws * share) + 1e-9), key


def test_randaugment_operations_are_drawn_evenly_and_all_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    augmentation = Augmentation(policy="randaugment", randaugment_layers=3, randaugment_magnitude=17)
    seen = recorded(monkeypatch, augmentation, 3000)
    counts = Counter(name for name, _ in seen)
    assert len(seen) == 9000 and {level for _, level in seen} == {17}
    assert len(counts) == 16 and stats.chisquare(list(counts.values())).pvalue > 0.01


def test_reach_shrinks_with_images_below_224_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(policies, "apply_operation", lambda image, name, level, reach, _: seen.append(reach) or image)
    for size in (448, 56):
        apply_policy(Image.new("L", (size, size + 9)), RAND, np.random.default_rng(0))
    assert seen[0] == RANDAUGMENT_REACH and seen[-1] == (25, 10)


@pytest.mark.parametrize("augmentation", [AUTO, RAND])
@MODES
def test_a_policy_is_its_generator_s(augmentation: Augmentation, mode: str) -> None:
    image = smooth_image(32, 32, mode)
    before = image.tobytes()
    views = [apply_policy(image, augmentation, np.random.default_rng(seed)).tobytes() for seed in range(40)]
    again = [apply_policy(image, augmentation, np.random.default_rng(seed)).tobytes() for seed in range(40)]
    assert views == again and len(set(views)) > 10 and image.tobytes() == before
    assert apply_policy(image, Augmentation(), np.random.default_rng(0)) is image


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 3), (33, 8)])
@MODES
def test_every_operation_keeps_size_and_mode(size: tuple[int, int], mode: str) -> None:
    image = noise_image(*size, mode)
    for name, level in product(OPERATIONS, (0, 0.5, 9, 10, 22.5, 30)):
        after = at_level(image, name, level)
        assert (after.size, after.mode) == (image.size, mode), name
    for augmentation, seed in product((AUTO, RAND), range(25)):
        after = apply_policy(image, augmentation, np.random.default_rng(seed))
        assert (after.size, after.mode) == (image.size, mode)


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


# Erasing


def erased_share(before: Array, after: Array) -> float:
    return float((before != after).any(axis=0).mean())


def test_erasing_is_a_box_of_even_noise() -> None:
    pixels = np.full((3, 50, 60), 100, dtype=np.uint8)
    kept, noise = pixels.copy(), []
    for seed in range(60):
        after = erase(pixels, 1.0, np.random.default_rng(seed))
        np.testing.assert_array_equal(after, erase(pixels, 1.0, np.random.default_rng(seed)))
        rows, columns = (np.flatnonzero((after != pixels).any(axis=axes)) for axes in ((0, 2), (0, 1)))
        box = after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box == 100).mean() < 0.03  # whole, but for noise that is 100 by chance
        noise.append(box.ravel())
    np.testing.assert_array_equal(pixels, kept)
    counts = np.bincount(np.concatenate(noise), minlength=256)
    assert stats.chisquare(counts).pvalue > 0.01


def test_erasing_happens_by_its_probability() -> None:
    pixels, generator = np.zeros((1, 16, 16), dtype=np.uint8), np.random.default_rng(2)
    counted = sum(erase(pixels, 0.25, generator) is not pixels for _ in range(2000))
    assert counted == pytest.approx(500, abs=4 * math.sqrt(2000 * 0.25 * 0.75))
    assert erase(pixels, 0.0, generator) is pixels


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 3), (3, 1, 9), (1, 2, 2)])
def test_erasing_tiny_images(shape: tuple[int, int, int]) -> None:
    for seed in range(50):
        after = erase(np.zeros(shape, dtype=np.uint8), 1.0, np.random.default_rng(seed))
        assert after.shape == shape and after.dtype == np.uint8
        assert min(shape[1:]) > 1 or not after.any()


def test_erased_area_and_aspect_are_kornia_s(kornia: Any) -> None:
    """Area drawn alike; kornia draws the aspect evenly on each side of 1, which moves the share that fits a little."""
    draws, generator = 1500, np.random.default_rng(3)
    pixels = np.zeros((3, 64, 64), dtype=np.uint8)
    after = [erase(pixels, 1.0, generator) for _ in range(draws)]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        erasing = kornia.augmentation.RandomErasing(scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3), value=1.0, p=1.0)
        theirs = erasing(torch.zeros(draws, 1, 64, 64)).mean(dim=(1, 2, 3)).numpy()
    ours = [erased_share(pixels, one) for one in after]
    assert np.mean(ours) == pytest.approx(theirs.mean(), rel=0.04)
    assert np.std(ours) == pytest.approx(theirs.std(), rel=0.08)
    changed = [one.mean() for one in after]  # noise of mean 127.5 where kornia has the value 1
    assert np.mean(changed) == pytest.approx(theirs.mean() * 127.5, rel=0.04)
    assert np.std(changed) == pytest.approx(theirs.std() * 127.5, rel=0.08)


def sides(erased: Array) -> tuple[int, int]:
    """Height and width of the box of a (height, width) array that is not 0."""
    return int(erased.any(axis=1).sum()), int(erased.any(axis=0).sum())


def test_erased_boxes_are_drawn_as_timm_s() -> None:
    peers.timm()
    from timm.data.random_erasing import RandomErasing

    draws, generator = 1500, np.random.default_rng(4)
    pixels = np.zeros((3, 40, 56), dtype=np.uint8)
    ours = np.array([sides(erase(pixels, 1.0, generator).any(axis=0)) for _ in range(draws)])
    chance = random.getstate()
    random.seed(4)
    erasing = RandomErasing(probability=1.0, mode="pixel", device="cpu")
    theirs = np.array([sides(erasing(torch.zeros(1, 40, 56))[0].numpy() != 0) for _ in range(draws)])
    random.setstate(chance)
    for measure in (np.multiply, np.divide):  # area, aspect
        assert stats.ks_2samp(measure(*ours.T), measure(*theirs.T)).pvalue > 0.01


# Mixing


def marked(n: int, side: int = 16) -> tuple[Tensor, Tensor]:
    """Images whose channel i is 1 in image i alone, so that the mean of a channel is what is left of image i."""
    return torch.eye(n)[:, :, None, None].expand(n, n, side, side).contiguous(), torch.arange(n)


def test_mixing_by_hand() -> None:
    pixels, labels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8).contiguous(), torch.tensor([2, 0])
    for seed in range(20):
        for mixup, cutmix in ((0.4, 0.0), (0.0, 1.0)):
            mixed, targets = mix(pixels, labels, 3, mixup, cutmix, np.random.default_rng(seed))
            of_second = mixed.mean(dim=(1, 2, 3))  # what is left of the image of ones, labelled 0
            torch.testing.assert_close(targets, torch.stack([of_second, torch.zeros(2), 1 - of_second], dim=1))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.8, 1.0), (1e-5, 0.0), (0.0, 1e-5), (0, 100)])
def test_labels_are_mixed_as_pixels(mixup: float, cutmix: float) -> None:
    pixels, labels = marked(7)
    before = pixels.clone()
    for seed in range(30):
        mixed, targets = mix(pixels, labels, 7, mixup, cutmix, np.random.default_rng(seed))
        torch.testing.assert_close(mixed.mean(dim=(2, 3)), targets)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(7))
        torch.testing.assert_close(targets.sum(dim=0), torch.ones(7))  # a permutation: every image is used
        again = mix(pixels, labels, 7, mixup, cutmix, np.random.default_rng(seed))
        assert torch.equal(mixed, again[0]) and torch.equal(targets, again[1])
    assert torch.equal(pixels, before) and torch.equal(labels, torch.arange(7))


def test_no_mixing_is_one_hot() -> None:
    pixels, generator = torch.rand(3, 1, 4, 4), np.random.default_rng(0)
    mixed, targets = mix(pixels, torch.tensor([1, 0, 3]), 4, 0.0, 0.0, generator)
    assert torch.equal(mixed, pixels) and targets.dtype == torch.float32
    assert targets.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert generator.random() == np.random.default_rng(0).random()  # nothing was drawn


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.3, 0.0), (0.0, 0.7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_memory_format_and_dtype_are_kept(mixup: float, cutmix: float, dtype: torch.dtype) -> None:
    pixels = torch.rand(4, 3, 6, 5).to(dtype, memory_format=torch.channels_last)
    mixed, targets = mix(pixels, torch.tensor([0, 1, 1, 0]), 2, mixup, cutmix, np.random.default_rng(1))
    assert mixed.is_contiguous(memory_format=torch.channels_last) and mixed.dtype == dtype
    assert mix(pixels.contiguous(), torch.zeros(4, dtype=torch.int64), 2, mixup, cutmix, np.random.default_rng(1))[
        0
    ].is_contiguous()
    assert targets.dtype == torch.float32 and mixed.shape == pixels.shape


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 1, 1, 1), (3, 1, 3, 3)])
def test_mixing_tiny_batches(shape: tuple[int, int, int, int]) -> None:
    labels = torch.zeros(shape[0], dtype=torch.int64)
    for seed in range(20):
        mixed, targets = mix(torch.rand(shape), labels, 1, 0.5, 0.5, np.random.default_rng(seed))
        assert mixed.shape == shape and bool(torch.isfinite(mixed).all())
        torch.testing.assert_close(targets, torch.ones(shape[0], 1))


def weights(mixup: float, cutmix: float, draws: int, side: int = 16) -> Array:
    """The weight of the own image, of batches in which the first image has another's share."""
    pixels, labels = marked(4, side)
    generator, found = np.random.default_rng(6), []
    while len(found) < draws:
        _, targets = mix(pixels, labels, 4, mixup, cutmix, generator)
        if bool((targets.diagonal() < 1).any()):
            found.append(float(targets.diagonal().min()))
    return np.array(found)


def test_mixup_weights_are_beta_s_and_kornia_s(kornia: Any) -> None:
    assert stats.kstest(weights(0.4, 0.0, 600), stats.beta(0.4, 0.4).cdf).pvalue > 0.01
    with torch.random.fork_rng():
        torch.manual_seed(7)
        mixing = kornia.augmentation.RandomMixUpV2(p=1.0, data_keys=["input", "class"])
        _, labels = mixing(torch.rand(600, 1, 2, 2), torch.arange(600))
    assert stats.ks_2samp(weights(1.0, 0.0, 600), labels[:, 2].numpy()).pvalue > 0.01


def test_cutmix_weights_are_kornia_s_boxes_cut_at_the_edges(kornia: Any) -> None:
    """kornia puts its boxes where they fit whole; the paper puts their centres anywhere, as here."""
    side, draws = 64, 1000
    with torch.random.fork_rng():
        torch.manual_seed(8)
        cutting = kornia.augmentation.RandomCutMixV2(p=1.0, use_correct_lambda=True, data_keys=["input", "class"])
        _, labels = cutting(torch.rand(draws, 1, side, side), torch.arange(draws))
    assert (labels[0, :, 2] == 1).float().mean() < 0.02
    lengths = np.sqrt(1 - labels[0, :, 2].numpy())[:, None]
    centres = np.random.default_rng(8).random((draws, 2))
    overlap = np.minimum(1, centres + lengths / 2) - np.maximum(0, centres - lengths / 2)
    theirs, ours = 1 - overlap.prod(axis=1), weights(0.0, 1.0, draws, side)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert ours.mean() == pytest.approx(1 - (0.5 - 0.2 + 1 / 48), abs=0.03)  # E of (s - s^2 / 4)^2, s^2 even on 0..1


def test_mixup_and_cutmix_take_turns_by_an_even_chance() -> None:
    pixels, labels = marked(8)
    generator, cuts, draws = np.random.default_rng(9), 0, 600
    for _ in range(draws):
        mixed, targets = mix(pixels, labels, 8, 100.0, 100.0, generator)  # weights near one half: both show
        assert bool((targets.diagonal() < 0.95).any())
        cuts += int(((mixed == 0) | (mixed == 1)).all())
    assert cuts == pytest.approx(draws / 2, abs=4 * math.sqrt(draws / 4))


def test_each_kind_has_its_own_alpha() -> None:
    """Mixup's weights near one half, cutmix's near 0 or 1, where a box is the whole image or nothing."""
    pixels, labels = marked(8)
    generator, whole = np.random.default_rng(11), []
    for _ in range(200):
        mixed, targets = mix(pixels, labels, 8, 1000.0, 1e-3, generator)
        if ((mixed == 0) | (mixed == 1)).all():
            whole.append(bool((targets.diagonal() == 1).all()))
        else:
            assert 0.4 < targets.diagonal().min() < 0.6
    assert len(whole) > 70 and np.mean(whole) > 0.3


def test_every_pair_is_as_likely() -> None:
    pixels, labels = marked(5, side=1)
    generator, counts = np.random.default_rng(10), np.zeros((5, 5))
    for _ in range(1500):
        counts += (mix(pixels, labels, 5, 100.0, 0.0, generator)[1] > 0).numpy() - np.eye(5)
    assert stats.chisquare(counts[~np.eye(5, dtype=bool)]).pvalue > 0.01
    assert counts.sum() == pytest.approx(1500 * 4, rel=0.05)  # one image in five keeps itself
