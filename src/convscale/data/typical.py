"""What the images of a data set are like, and the network whose input and classes suit them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np

from convscale.data.dataset import Dataset
from convscale.data.images import ImageCollection, Stream
from convscale.data.reading import open_image
from convscale.networks import ConvNet

IMAGES_LOOKED_AT = 64


def typical_image(images: ImageCollection | Stream) -> tuple[float, bool]:
    """(median shorter side in pixels, whether all are grey) over a spread of images, from their headers."""
    if isinstance(images, Stream):
        first = islice(images.read(0, 0), IMAGES_LOOKED_AT)
        looked_at = [open_image(item.content, item.name) for item in first]
    else:
        spread = np.unique(np.linspace(0, len(images) - 1, IMAGES_LOOKED_AT).round().astype(int))
        looked_at = [images.image(int(index)) for index in spread]
    side = float(np.median([min(image.size) for image in looked_at]))
    return side, all(image.mode in ("L", "1", "I;16", "I", "F") for image in looked_at)


def fit_to_images(network: ConvNet, dataset: Dataset) -> ConvNet:
    """`network` with the data's number of classes and, where all images are grey, one input channel, else three."""
    _, grey = typical_image(dataset.train)
    return replace(network, num_classes=len(dataset.classes), input_channels=1 if grey else 3)
