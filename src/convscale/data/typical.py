"""What the images of a data set are like, and the network whose input and classes suit them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from convscale.data.bands import Opened, count_channels, shown_channels, wrong_channels
from convscale.data.dataset import Dataset
from convscale.data.depth import Range, StoredPixels
from convscale.data.images import ImageCollection, Stream
from convscale.data.reading import open_image
from convscale.data.usage import Usage
from convscale.errors import DataError
from convscale.networks import ConvNet
from convscale.progress import print_note

IMAGES_LOOKED_AT = 64
LISTED = 10  # of the images that cannot be read, where none can


def typical_image(images: ImageCollection | Stream, *, quiet: bool = True) -> tuple[float, bool]:
    """(median shorter side in pixels, whether all are grey) over a spread of images, from their headers.

    Those that cannot be read are left out, and named in a note unless `quiet`. Raises DataError where none can be read.
    """
    seen = _look_at(images, quiet)
    return float(np.median([one.side for one in seen])), all(one.channels == 1 for one in seen)


def input_channels(images: ImageCollection | Stream, *, quiet: bool = True) -> int:
    """The input channels of a network for a spread of images: 1 if all are grey, else 3, or their common number
    if they are neither grey nor RGB. Raises as `typical_image`, and DataError if their numbers differ."""
    seen = _look_at(images, quiet)
    counts = sorted({one.channels for one in seen})
    if len(counts) == 1:
        return counts[0]
    if any(one.as_stored and one.channels not in (1, 3) for one in seen):
        listed = " and ".join(map(str, counts))
        raise DataError(
            f"images of {listed} channels: a network takes one number",
            hint="give all images the same number of channels",
        )
    return 3


class _Seen(NamedTuple):
    """An opened image: its shorter side, its channels, and whether Pillow has no grey or RGB in their place."""

    side: int
    channels: int
    as_stored: bool


def _look_at(images: ImageCollection | Stream, quiet: bool) -> list[_Seen]:
    """A spread of images. Raises DataError where none can be read."""
    seen: list[_Seen] = []
    unreadable: list[str] = []
    for found in _spread(images):
        if isinstance(found, DataError):
            unreadable.append(found.message)
        else:
            seen.append(_Seen(min(found.size), count_channels(found), isinstance(found, StoredPixels)))
    if not seen:
        more = len(unreadable) - LISTED
        listed = "; ".join([*unreadable[:LISTED], *([f"and {more} more"] if more > 0 else [])])
        raise DataError(
            f"none of the {len(unreadable)} sampled images can be read: {listed}",
            hint="convscale data check lists all unreadable images",
        )
    if not quiet:
        for reason in unreadable:
            _tell_once(reason)
    return seen


def notes_on_pixels(
    images: ImageCollection | Stream, stored_range: Range | None = None, channels: int = 3
) -> tuple[str, ...]:
    """Which parts of the pixels of a spread of images a network of `channels` channels does not see, as in `Usage`;
    nothing for a stream, whose images are read only in training."""
    usage = Usage(stored_range, channels)
    for image in () if isinstance(images, Stream) else _spread(images):
        if not isinstance(image, DataError):
            with suppress(DataError):  # reported when its turn comes
                usage.add(image, "")
    return usage.notes()


def require_channels(images: ImageCollection | Stream, channels: int) -> None:
    """Raise DataError naming the first of a spread of images that does not fit a network of `channels`
    input channels. Unreadable images are skipped."""
    if isinstance(images, Stream):
        if channels not in (1, 3):
            raise DataError(
                f"a stream's images are read as grey or RGB, but the network has {channels} channels",
                hint="read the data as hf:... or from a folder",
            )
        return
    for index in _spread_indices(images):
        try:
            image = images.image(index)
        except DataError:
            continue
        found = shown_channels(image, channels)
        if found != channels:
            raise wrong_channels(found, channels, images.name(index))


def _spread(images: ImageCollection | Stream) -> Iterator[Opened | DataError]:
    """Images from all over a collection, or the first of a stream, or why one cannot be read."""
    if isinstance(images, Stream):
        first = islice(images.read(0, 0), IMAGES_LOOKED_AT)
        openers = [partial(open_image, item.content, item.name) for item in first]
    else:
        openers = [partial(images.image, index) for index in _spread_indices(images)]
    for opener in openers:
        try:
            yield opener()
        except DataError as error:
            yield error


def _spread_indices(images: ImageCollection) -> list[int]:
    spread = np.linspace(0, len(images) - 1, min(IMAGES_LOOKED_AT, len(images))).round().astype(int)
    return [int(index) for index in spread]


@cache
def _tell_once(reason: str) -> None:
    print_note(f"unreadable, skipped: {reason}")


def fit_to_images(network: ConvNet, dataset: Dataset, *, quiet: bool = False) -> ConvNet:
    """`network` with the data's number of classes and the `input_channels` of its images.

    Raises DataError as `input_channels`; single images that cannot be read are named in a note unless `quiet`.
    """
    channels = input_channels(dataset.train, quiet=quiet)
    return replace(network, num_classes=len(dataset.classes), input_channels=channels)
