"""Views drawn on the device are those that the loader draws image by image, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.data.draws import shifts_and_flips
from convscale.data.images import Subset
from convscale.data.loader import evaluation_batches, kept_on_device, training_batches
from convscale.data.randomness import Purpose, keyed
from convscale.data.resident import ResidentImages, can_be_drawn
from convscale.preprocessing import default_preprocessing
from convscale.recipes import Augmentation

pytestmark = pytest.mark.gpu
HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("reach", [None, 1, 4, 112])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (3, 29), (2**40 + 5, 7), (2**70, 2**33)])
def test_many_are_drawn_as_one_is(seed: int, epoch: int, reach: int | None, flip: bool) -> None:
    indices = np.array([0, 1, 2, 77, 49_999, 2**32 - 1])
    down, right, mirrored = shifts_and_flips(seed, epoch, indices, reach, flip)
    for at, index in enumerate(indices.tolist()):
        generator = keyed(Purpose.VIEW, seed, epoch, index)
        shift = (0, 0) if reach is None else tuple(int(generator.integers(-reach, reach + 1)) for _ in range(2))
        assert (down[at], right[at]) == shift
        assert mirrored[at] == (flip and generator.random() < 0.5)


def test_what_numpy_draws_again_is_drawn_again() -> None:
    """Where the bits of a draw would favour some numbers: of 2**32 - 1 to choose from, of half of them all."""
    reach = 2**30
    indices = np.arange(200)
    down, right, _ = shifts_and_flips(1, 2, indices, reach, False)
    for index in indices.tolist():
        generator = keyed(Purpose.VIEW, 1, 2, index)
        assert (down[index], right[index]) == tuple(generator.integers(-reach, reach + 1) for _ in range(2))


@pytest.mark.parametrize("size", [8, 12])
@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(), Augmentation(crop="shift"), Augmentation(flip=True), Augmentation(crop="shift", flip=True)],
    ids=["none", "shift", "flip", "both"],
)
def test_batches_are_the_loader_s(size: int, augmentation: Augmentation) -> None:
    images = cs.open_dataset("digits").train
    preprocessing = default_preprocessing(size, 1)
    near = kept_on_device(images, preprocessing, HERE, 0, 10**8)
    assert isinstance(near, ResidentImages) and len(near) == len(images)
    for start in (0, 40):
        pair = [
            list(training_batches(some, preprocessing, augmentation, 32, seed=3, epoch=2, start=start))
            for some in (images, near)
        ]
        _same(*pair)
    _same(*(list(evaluation_batches(some, preprocessing, 50, named=True)) for some in (images, near)))


def _same(one: list, other: list) -> None:  # type: ignore[type-arg]
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.pixels.equal(theirs.pixels.cpu()) and mine.labels.equal(theirs.labels.cpu())
        assert mine.names == theirs.names


def test_what_a_device_does_not_draw_the_loader_does() -> None:
    """Also of images that stay there, and where another size is asked for."""
    images = Subset(cs.open_dataset("digits").train, np.arange(64))
    preprocessing = default_preprocessing(8, 1)
    near = kept_on_device(images, preprocessing, HERE, 0, 10**8)
    assert near is not None
    lively = Augmentation(crop="resized", flip=True, erasing=0.5)
    assert not can_be_drawn(lively)
    _same(*(list(training_batches(some, preprocessing, lively, 32, seed=3, epoch=2)) for some in (images, near)))
    larger = default_preprocessing(12, 1)
    _same(*(list(evaluation_batches(some, larger, 50)) for some in (images, near)))


def test_too_large_ones_stay_where_they_are() -> None:
    images = cs.open_dataset("digits").train
    assert kept_on_device(images, default_preprocessing(8, 1), HERE, 0, 64 * len(images) - 1) is None
