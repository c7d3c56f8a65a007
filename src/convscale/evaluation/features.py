"""features: images to what a trained network sees in them, the pooled values before its classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convscale.data import FileImages, ImageCollection
from convscale.data.images import Stream
from convscale.data.loader import Normalise, evaluation_batches
from convscale.errors import ConfigError, DataError
from convscale.nn import Model, keep_memory, load, place


@torch.inference_mode()
def features(
    model_or_path: Model | str | Path,
    images: ImageCollection | Stream | Sequence[str | Path] | str | Path,
    *,
    batch: int = 64,
    workers: int = 0,
) -> Tensor:
    """The pooled features (n, channels), float32 on the CPU, of images in their order.

    model_or_path: a run, a weights file, or what `load` gives. images: image files, or the images of a data set.
    Raises RunError for the network, ConfigError for a model without preprocessing, DataError naming an image that is
    missing or cannot be read.
    """
    model = model_or_path if isinstance(model_or_path, Model) else load(model_or_path)
    preprocessing = model.preprocessing
    if preprocessing is None:
        raise ConfigError("the model has no preprocessing", hint="cs.load(FILE) gives one, or set model.preprocessing")
    if isinstance(images, str | Path):
        images = [images]
    if isinstance(images, Sequence):
        paths = [Path(image) for image in images]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{path}: no such image file", hint="name image files that exist")
        images = FileImages(paths, np.zeros(len(paths), dtype=np.int64))
    keep_memory()
    was_training, model = model.training, place(model).eval()
    normalise, found = Normalise(preprocessing, next(model.parameters()).device), []
    try:
        for pixels, _, missing, _ in evaluation_batches(images, preprocessing, batch, workers):
            if missing:
                raise DataError(missing[0][1], hint="remove it or replace it")
            found.append(model.pooled(normalise(pixels)).cpu())
    finally:
        model.train(was_training)
    return torch.cat(found) if found else torch.empty(0, 0)
