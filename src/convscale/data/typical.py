"""What the images of a data set are like, and the network whose input and classes suit them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import islice

import numpy as np
from PIL import Image

from convscale.data.dataset import Dataset
from convscale.data.depth import Range
from convscale.data.images import ImageCollection, Stream
from convscale.data.reading import open_image
from convscale.data.usage import Usage
from convscale.errors import DataError
from convscale.networks import ConvNet
from convscale.progress import print_note

IMAGES_LOOKED_AT = 64
LISTED = 10  # of the images that cannot be read, where none can
_GREY = ("L", "LA", "La", "1", "I;16", "I;16B", "I;16L", "I", "F")


def typical_image(images: ImageCollection | Stream, *, quiet: bool = True) -> tuple[float, bool]:
    """(median shorter side in pixels, whether all are grey) over a spread of images, from their headers.

    Those that cannot be read are left out, and named in a note unless `quiet`. Raises DataError where none can be read.
    """
    seen: list[tuple[int, bool]] = []
    unreadable: list[str] = []
    for found in _spread(images):
        if isinstance(found, DataError):
            unreadable.append(found.message)
        else:
            seen.append((min(found.size), found.mode in _GREY))
    if not seen:
        more = len(unreadable) - LISTED
        listed = "; ".join([*unreadable[:LISTED], *([f"and {more} more"] if more > 0 else [])])
        raise DataError(
            f"none of the {len(unreadable)} images looked at can be read: {listed}",
            hint="convscale data check lists all that cannot",
        )
    if not quiet:
        for reason in unreadable:
            _tell_once(reason)
    return float(np.median([side for side, _ in seen])), all(grey for _, grey in seen)


def notes_on_pixels(images: ImageCollection | Stream, stored_range: Range | None = None) -> tuple[str, ...]:
    """What of the pixels of a spread of images is rounded away or not read, as `Usage` says it; nothing for a stream,
    whose images come when they are trained on."""
    usage = Usage(stored_range)
    for image in () if isinstance(images, Stream) else _spread(images):
        if not isinstance(image, DataError):
            with suppress(DataError):  # told when it is its turn
                usage.add(image, "")
    return usage.notes()


def _spread(images: ImageCollection | Stream) -> Iterator[Image.Image | DataError]:
    """Images from all over a collection, or the first of a stream, or why one cannot be read."""
    if isinstance(images, Stream):
        first = islice(images.read(0, 0), IMAGES_LOOKED_AT)
        openers = [partial(open_image, item.content, item.name) for item in first]
    else:
        spread = np.unique(np.linspace(0, len(images) - 1, IMAGES_LOOKED_AT).round().astype(int))
        openers = [partial(images.image, int(index)) for index in spread]
    for opener in openers:
        try:
            yield opener()
        except DataError as error:
            yield error


@cache
def _tell_once(reason: str) -> None:
    print_note(f"unreadable, skipped: {reason}")


def fit_to_images(network: ConvNet, dataset: Dataset, *, quiet: bool = False) -> ConvNet:
    """`network` with the data's number of classes and, where all images are grey, one input channel, else three.

    Raises DataError where none of the images looked at can be read; single ones are named in a note unless `quiet`.
    """
    _, grey = typical_image(dataset.train, quiet=quiet)
    return replace(network, num_classes=len(dataset.classes), input_channels=1 if grey else 3)
