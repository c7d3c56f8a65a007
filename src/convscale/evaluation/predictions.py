"""Predictions of an evaluation, image by image, as parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscale.errors import ConfigError
from convscale.files import write_atomic


class Predictions:
    """Collects a row for each image and writes them to `path`, whole or not at all:

    image (its name), label and predicted (names of classes), probability (of the predicted class), label_probability,
    label_rank: 1 + the number of classes that are more probable than the true one.

    Raises ConfigError where no such file can be written.
    """

    def __init__(self, path: str | Path, classes: tuple[str, ...]) -> None:
        self.path, self._classes = Path(path), np.array(classes, dtype=object)
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise ConfigError(
                f"predictions {path}: no file can be written there", hint="name a .parquet file in a folder that exists"
            )
        self._batches: list[Any] = []

    def add(self, names: tuple[str, ...], logits: Tensor, truth: Tensor, predicted: Tensor) -> None:
        """A batch: names (n), logits (n, classes) on any device, true and predicted classes (n,) int64 on the CPU."""
        import pyarrow

        logits = logits.float().cpu()
        probabilities, rows = logits.softmax(1), torch.arange(len(names))
        columns = {
            "image": pyarrow.array([_as_utf8(name) for name in names], pyarrow.string()),
            "label": pyarrow.array(self._classes[truth.numpy()], pyarrow.string()),
            "predicted": pyarrow.array(self._classes[predicted.numpy()], pyarrow.string()),
            "probability": probabilities[rows, predicted].numpy(),
            "label_probability": probabilities[rows, truth].numpy(),
            "label_rank": ((logits > logits[rows, truth][:, None]).sum(1) + 1).numpy(),
        }
        self._batches.append(pyarrow.record_batch(columns))

    def write(self) -> None:
        """Write the file; one image at least must have been added."""
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_batches(self._batches)
        write_atomic(self.path, lambda file: pyarrow.parquet.write_table(table, file))


def _as_utf8(name: str) -> str:
    """Bytes of a file's name that are not UTF-8 as backslash and number."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
