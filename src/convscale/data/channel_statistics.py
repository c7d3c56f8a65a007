"""Mean and deviation of channels of which none are published, measured on the images to be trained on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np

from convscale.data.images import ImageCollection, Subset
from convscale.errors import DataError
from convscale.preprocessing import Preprocessing

IMAGES = 256  # their mean varies by a sixteenth of the deviation from image to image
_LEAST = 1 / 255  # of a deviation: a channel may be the same everywhere


def measured(images: ImageCollection, preprocessing: Preprocessing) -> Preprocessing:
    """`preprocessing` with the mean and deviation of each channel over up to 256 of `images`, spread over all of them
    and prepared as for evaluation. Those that cannot be read are left out; raises DataError where none can be."""
    from convscale.data.loader import evaluation_batches  # which brings PyTorch

    spread = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().astype(np.int64)
    sums, pixels = np.zeros((2, preprocessing.channels), np.int64), 0
    reason = ""
    with closing(evaluation_batches(Subset(images, spread), preprocessing, 32)) as batches:
        for batch in batches:
            reason = batch.missing[0][1] if batch.missing else reason
            if len(batch.labels):
                values = batch.pixels.numpy().astype(np.int64)
                sums += [values.sum(axis=(0, 2, 3)), (values * values).sum(axis=(0, 2, 3))]
                pixels += values[:, 0].size
    if not pixels:
        raise DataError(f"no image can be read to measure its channels: {reason}", hint="convscale data check")
    mean, square = sums / (pixels * np.array([[255], [255**2]]))
    deviation = np.sqrt(np.maximum(square - mean**2, _LEAST**2))
    low, high = preprocessing.value_range
    return replace(
        preprocessing,
        mean=tuple(round(low + (high - low) * value, 6) for value in mean.tolist()),
        std=tuple(round((high - low) * value, 6) for value in deviation.tolist()),
    )
