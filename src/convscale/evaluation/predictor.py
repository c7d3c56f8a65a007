"""predict: a run or a weights file, and image files, to class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from convscale.data import FileImages
from convscale.data.loader import Normalise, evaluation_batches
from convscale.errors import ConfigError, DataError
from convscale.nn import keep_memory, load_weights, pick_device, to_default_device
from convscale.records import Prediction
from convscale.runs import weights_file


@torch.inference_mode()
def predict(
    run_or_file: str | Path, images: str | Path | Sequence[str | Path], *, top: int = 5, batch: int = 64
) -> list[Prediction]:
    """The `top` most probable classes of each image file, or of the one that is given.

    Raises RunError for the run, DataError naming an image that is missing or unreadable.
    """
    paths = [Path(image) for image in ([images] if isinstance(images, str | Path) else images)]
    if top < 1:
        raise ConfigError(f"top {top} is not allowed", hint="at least 1")
    if not paths:
        raise DataError("no image given", hint="name one image file or more")
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such image file", hint="name image files that exist")
    keep_memory()
    model, header = load_weights(weights_file(Path(run_or_file)))
    model = to_default_device(model)
    normalise = Normalise(header.preprocessing, pick_device())
    files = FileImages(paths, np.zeros(len(paths), dtype=np.int64))
    best = []
    for loaded in evaluation_batches(files, header.preprocessing, batch):
        if loaded.missing:
            raise DataError(loaded.missing[0][1], hint="remove it or replace it")
        ranked = model(normalise(loaded.pixels)).softmax(1).topk(min(top, len(header.classes)))
        best += list(zip(ranked.values.tolist(), ranked.indices.tolist(), strict=True))
    return [
        Prediction(
            str(path),
            tuple(
                (header.classes[index], probability) for probability, index in zip(probabilities, indices, strict=True)
            ),
        )
        for path, (probabilities, indices) in zip(paths, best, strict=True)
    ]
