"""The images that engines are judged on: the user's, or noise where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscale.data.images import Labels
from convscale.data.loader import evaluation_batches
from convscale.deploy.acceptance import Reference, logits_in_batches
from convscale.deploy.engines.eager import image_side
from convscale.deploy.engines.kinds import open_engine
from convscale.deploy.engines.protocol import Floats
from convscale.deploy.normalising import unchanged, with_preprocessing
from convscale.errors import ConfigError, DataError, UnknownNameError
from convscale.evaluation.inputs import GivenImage, given_images
from convscale.nn import Model

GivenLabels = Sequence[str] | Sequence[int] | NDArray[Any]

LOADED_AT_ONCE = 64


@dataclass(frozen=True)
class JudgingImages:
    """pixels (n, channels, size, size) uint8, labels (n,): classes by number, None where nobody gave them."""

    pixels: NDArray[np.uint8]
    labels: Labels | None


def judging_images(
    model: Model, images: GivenImage | Sequence[GivenImage], labels: GivenLabels | None
) -> JudgingImages:
    """The user's images as the network sees them. Raises DataError for one that cannot be read and for labels that do
    not fit, UnknownNameError for a class that the network does not know."""
    if model.preprocessing is None:
        raise ConfigError(f"{model.network.name}: how images are prepared for it is not known", hint="load its weights")
    given, _ = given_images(images)
    pixels = []
    for loaded in evaluation_batches(given, model.preprocessing, LOADED_AT_ONCE):
        if loaded.missing:
            raise DataError(loaded.missing[0][1], hint="remove it or replace it")
        pixels.append(loaded.pixels.numpy())
    return JudgingImages(np.concatenate(pixels), None if labels is None else _numbers(model, labels, len(given)))


def _numbers(model: Model, labels: GivenLabels, images: int) -> Labels:
    """Classes by number."""
    if len(labels) != images:
        raise DataError(f"{len(labels)} labels for {images} images", hint="one for each image, in their order")
    known = {name: number for number, name in enumerate(model.classes)}
    numbers = []
    for label in labels:
        if isinstance(label, str):
            if label not in known:
                raise UnknownNameError("class", label, known)
            numbers.append(known[label])
        elif 0 <= int(label) < len(known):
            numbers.append(int(label))
        else:
            raise DataError(f"label {label} is not one of {len(known)} classes", hint=f"0 to {len(known) - 1}")
    return np.array(numbers, dtype=np.int64)


def noise_for(model: Model, batch: int) -> Floats:
    """(batch, channels, h, w), seeded, as large as preprocessed images are."""
    side = image_side(model)
    shape = (batch, model.network.input_channels, side, side)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def reference_for(model: Model, own: JudgingImages | None, threads: int, batch: int) -> Reference:
    """What the plain module makes of the user's images, or of noise."""
    plain = open_engine("eager", model, threads=threads)
    if own is None or model.preprocessing is None:
        noise = noise_for(model, batch)
        return Reference(noise, unchanged, plain(noise), own=False)
    prepare = with_preprocessing(model.preprocessing)
    logits = logits_in_batches(plain, own.pixels, prepare, batch)
    return Reference(own.pixels, prepare, logits, own=True, labels=own.labels)
