"""Policies and erasing: what is drawn, how often, and how much it changes, also against timm and kornia."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy import stats

from convscale.data import policies
from convscale.data.policies import (
    AUTOAUGMENT,
    AUTOAUGMENT_REACH,
    OPERATIONS,
    RANDAUGMENT_REACH,
    Reach,
    apply_policy,
    erase,
)
from convscale.recipes import Augmentation
from tests import peers
from tests.data.drawn_images import AUTO, RAND, Array, at_level, noise_image, smooth_image

MODES = pytest.mark.parametrize("mode", ["L", "RGB"])

# Against timm


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
