"""An exported file beside the network that it was made of, on the same images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from convscale.data import ImageCollection
from convscale.data.images import Stream, Subset
from convscale.data.loader import evaluation_batches
from convscale.errors import DataError
from convscale.evaluation.opened import Logits
from convscale.preprocessing import Preprocessing
from convscale.records import Comparison
from convscale.records.exports import Compared

BATCH = 16
MAX_DIFFERENCE = 1e-2  # relative, of the same numbers computed elsewhere: above it something else is computed
MOST = 256  # images
NOISE = 16


def compare(right: Logits, found: Logits, batches: Iterable[Tensor], engine: str, images: Compared) -> Comparison:
    """Both logits of batches of pixels (n, c, size, size) uint8. Raises DataError where there is no image."""
    n = agreeing = 0
    difference = largest = 0.0
    with torch.inference_mode():
        for pixels in batches:
            expected, computed = right(pixels).float().cpu(), found(pixels)
            n += len(pixels)
            agreeing += int((expected.argmax(1) == computed.argmax(1)).sum())
            difference = max(difference, _largest(expected - computed))
            largest = max(largest, _largest(expected))
    if not n:
        raise DataError("no image to compare on could be read")
    return Comparison(engine, n, images, agreeing / n, difference / max(largest, 1e-30))


def _largest(values: Tensor) -> float:
    """The largest magnitude; infinite for NaN, which compares with nothing."""
    return float(values.abs().nan_to_num(nan=float("inf")).max())


def noise(preprocessing: Preprocessing) -> Iterator[Tensor]:
    """NOISE images of seeded noise: they show that a file computes the same, not that it sees the same."""
    drawn = np.random.default_rng(0).integers(
        0, 256, (NOISE, preprocessing.channels, preprocessing.size, preprocessing.size), dtype=np.uint8
    )
    yield torch.from_numpy(drawn)


def pixels_of(images: ImageCollection | Stream, preprocessing: Preprocessing, most: int = MOST) -> Iterator[Tensor]:
    """Images as pixels, batch by batch: spread evenly over a collection, the first ones of a stream."""
    if not isinstance(images, Stream) and len(images) > most:
        images = Subset(images, np.linspace(0, len(images) - 1, most).round().astype(np.int64))
    left = most
    for batch in evaluation_batches(images, preprocessing, BATCH):
        if len(batch.labels):
            yield batch.pixels[:left]
            left -= len(batch.labels)
        if left <= 0:
            return
