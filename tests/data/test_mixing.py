"""Mixup and cutmix: by hand, against kornia, and by their statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from convscale.data.mixing import mix
from tests.data.drawn_images import Array


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
