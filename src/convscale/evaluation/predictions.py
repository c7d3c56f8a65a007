"""Predictions of an evaluation, image by image, as a file."""

from __future__ import annotations

import numpy as np
import torch

from convscale.evaluation.measurement import EvaluatedBatch
from convscale.evaluation.rows_file import RowsFile, as_utf8


class Predictions:
    """Collects one row per image and writes them to `file`:

    image (its name), label and predicted (names of classes), probability (of the predicted class), label_probability,
    label_rank: 1 + the number of classes that are more probable than the true one.
    """

    def __init__(self, file: RowsFile, classes: tuple[str, ...]) -> None:
        self._file, self._classes = file, np.array(classes, dtype=object)

    def add(self, batch: EvaluatedBatch) -> None:
        """A batch."""
        import pyarrow

        logits = batch.logits.float().cpu()
        probabilities, rows = logits.softmax(1), torch.arange(len(batch.names))
        self._file.add(
            {
                "image": pyarrow.array([as_utf8(name) for name in batch.names], pyarrow.string()),
                "label": pyarrow.array(self._classes[batch.truth.numpy()], pyarrow.string()),
                "predicted": pyarrow.array(self._classes[batch.predicted.numpy()], pyarrow.string()),
                "probability": probabilities[rows, batch.predicted].numpy(),
                "label_probability": probabilities[rows, batch.truth].numpy(),
                "label_rank": ((logits > logits[rows, batch.truth][:, None]).sum(1) + 1).numpy(),
            }
        )

    def write(self) -> None:
        """Write the file; at least one image must have been added."""
        self._file.write()
