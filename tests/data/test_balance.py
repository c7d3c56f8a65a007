"""Classes of unequal size: weights as scikit-learn computes them, and draws of every class equally often."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from convscale.data import loader
from convscale.data.balance import balanced_draws, balanced_weights
from convscale.data.images import ArrayImages
from convscale.data.loader import kept_on_device, training_batches
from convscale.data.resident import ResidentImages
from convscale.preprocessing import default_preprocessing
from convscale.recipes import Augmentation

LABELS = np.repeat([2, 0, 1, 4], [60, 3, 17, 1])  # class 3 has no image


def test_weights_are_those_of_scikit_learn() -> None:
    weights = balanced_weights(LABELS, 6)
    wanted = compute_class_weight("balanced", classes=np.unique(LABELS), y=LABELS)
    np.testing.assert_allclose(weights[[0, 1, 2, 4]], wanted, rtol=1e-6)
    assert weights[3] == weights[5] == 0 and weights[LABELS].mean() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("labels", [LABELS, np.arange(7), np.zeros(5, np.int64), np.repeat([0, 1], [1000, 1])])
def test_classes_come_equally_often(labels: np.ndarray) -> None:
    classes, images = len(np.unique(labels)), len(labels)
    drawn: Counter[int] = Counter()
    for epoch in range(5):
        draws = balanced_draws(labels, 7, epoch)
        assert len(draws) == images == len(set(draws.tolist()))  # an image that repeats is another item each time
        indices = draws % images
        counts = np.bincount(labels[indices])[np.unique(labels)]
        assert counts.max() - counts.min() <= 1
        drawn.update(indices.tolist())
        so_far = np.bincount(labels, weights=[drawn[index] for index in range(images)])[np.unique(labels)]
        assert so_far.max() - so_far.min() <= 1  # over epochs too
        for label in np.unique(labels):  # without replacement until all are used up
            times = [drawn[index] for index in np.flatnonzero(labels == label)]
            assert max(times) - min(times) <= 1
    assert sum(drawn.values()) == 5 * images and classes == len(np.unique(labels))


def test_repeats_count_from_zero_in_every_epoch() -> None:
    draws = balanced_draws(LABELS, 0, 3)
    for index in range(len(LABELS)):
        repeats = sorted((draws[draws % len(LABELS) == index] // len(LABELS)).tolist())
        assert len(set(repeats)) == len(repeats) and (not repeats or repeats[-1] <= len(repeats))


def test_draws_hang_on_seed_and_epoch_alone() -> None:
    assert np.array_equal(balanced_draws(LABELS, 1, 2), balanced_draws(LABELS, 1, 2))
    for other in ((1, 3), (2, 2)):
        assert not np.array_equal(balanced_draws(LABELS, 1, 2), balanced_draws(LABELS, *other))


def loaded(start: int = 0, rank: int = 0, world: int = 1, workers: int = 0, sampling: str = "balanced") -> np.ndarray:
    """The pixels of an epoch's steps from `start` on, (steps, images, pixels)."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(LABELS), 8, 8)).astype(np.uint8)
    batches = training_batches(
        ArrayImages(pixels, LABELS, "x"), default_preprocessing(8, 1), Augmentation(crop="shift"), 16, seed=3, epoch=1,
        start=start, rank=rank, world=world, workers=workers, sampling=sampling,  # type: ignore[arg-type]
    )  # fmt: skip
    return np.stack([batch.pixels.numpy().reshape(16 // world, 64) for batch in batches])


def test_batches_go_on_at_any_step_in_any_number_of_processes() -> None:
    whole = loaded()
    assert whole.shape == (5, 16, 64)
    assert np.array_equal(loaded(start=2), whole[2:]) and np.array_equal(loaded(workers=2), whole)
    for rank in range(2):
        assert np.array_equal(loaded(rank=rank, world=2), whole[:, rank::2])
    assert not np.array_equal(loaded(sampling="shuffled"), whole)


def test_an_image_that_repeats_is_seen_anew() -> None:
    """The class of one image fills a quarter of the epoch: by another shift most times."""
    views = {view.tobytes() for view in loaded().reshape(-1, 64)}
    assert len(views) > 60  # of 80; 32 images at most without new views


def test_images_that_stay_on_a_device_are_drawn_alike() -> None:
    """Also where a repeated image's number is too large to be drawn for there."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(LABELS), 8, 8)).astype(np.uint8)
    images, preprocessing = ArrayImages(pixels, LABELS, "x"), default_preprocessing(8, 1)
    near = kept_on_device(images, preprocessing, torch.device("cpu"), 0, 10**8)
    assert isinstance(near, ResidentImages)
    for most in (loader.MOST_DRAWN, len(LABELS)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loader, "MOST_DRAWN", most)
            one, other = (
                list(training_batches(some, preprocessing, Augmentation(crop="shift", flip=True), 16, seed=3, epoch=1,
                                      sampling="balanced"))
                for some in (images, near)
            )  # fmt: skip
        assert len(one) == len(other) == 5
        for mine, theirs in zip(one, other, strict=True):
            assert mine.pixels.equal(theirs.pixels) and mine.labels.equal(theirs.labels)
