"""Images that many trainings share are prepared once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import convscale as cs
from convscale.data.images import Kept
from convscale.data.transforms import evaluation_view, training_view
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation
from tests.images import digit_photos

PREPROCESSING = Preprocessing(12)


class Counting:
    """Counts how often an image is read."""

    def __init__(self, whole: cs.Dataset) -> None:
        self.whole, self.labels, self.reads = whole.train, whole.train.labels, 0

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> object:
        return self.whole.image(index)

    def content(self, index: int) -> bytes | None:
        self.reads += 1
        return self.whole.content(index)

    def name(self, index: int) -> str:
        return self.whole.name(index)


@pytest.fixture
def photos(tmp_path: Path) -> Counting:
    return Counting(cs.open_dataset(digit_photos(tmp_path, 5)))


@pytest.mark.parametrize("crop", ["shift", "none", "resized"])
def test_views_are_the_same_and_what_is_kept_stays_as_it_is(photos: Counting, crop: str) -> None:
    augmentation = replace(Augmentation(), crop=crop, erasing=1.0)
    kept = Kept(photos, 2**20)
    for epoch in range(3):
        for index in range(len(photos)):
            views = [
                training_view(images, index, PREPROCESSING, augmentation, np.random.default_rng((epoch, index)))
                for images in (photos, kept)
            ]
            assert np.array_equal(*views)
            assert np.array_equal(*(evaluation_view(images, index, PREPROCESSING) for images in (photos, kept)))


def test_an_image_is_read_once_for_each_size(photos: Counting) -> None:
    kept = Kept(photos, 2**20)
    for _ in range(3):
        for index in range(len(kept)):
            evaluation_view(kept, index, PREPROCESSING)
            training_view(kept, index, PREPROCESSING, Augmentation(crop="shift"), np.random.default_rng(0))
    assert photos.reads == len(photos)
    evaluation_view(kept, 0, Preprocessing(8))
    assert photos.reads == len(photos) + 1


def test_no_more_is_kept_than_there_is_room_for(photos: Counting) -> None:
    one = 3 * 12 * 12
    kept = Kept(photos, 2 * one)
    for index in (0, 1, 2, 0, 1):
        evaluation_view(kept, index, PREPROCESSING)
    assert photos.reads == 3  # the third found no room, and took none
    evaluation_view(kept, 0, Preprocessing(8))  # other sizes give way
    evaluation_view(kept, 0, Preprocessing(8))
    assert photos.reads == 4
    evaluation_view(kept, 0, PREPROCESSING)
    assert photos.reads == 5
