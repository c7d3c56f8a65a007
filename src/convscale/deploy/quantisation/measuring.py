"""The images that int8 is calibrated on, those that it is judged on, and what networks answer to these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convscale.data import ImageCollection, open_dataset
from convscale.data.images import Stream
from convscale.data.loader import evaluation_batches
from convscale.deploy.comparison import pixels_of
from convscale.errors import DataError
from convscale.evaluation.evaluator import images_for, match_classes
from convscale.evaluation.opened import Logits
from convscale.headers import WeightsHeader
from convscale.runs import Run
from convscale.statistics.paired_accuracy import PairedChange

CALIBRATION = 300  # images
BATCH = 16


@dataclass(frozen=True)
class Images:
    """Pixels (n, c, size, size) uint8 to calibrate on, and held-out images with their classes (n) int64."""

    calibration: torch.Tensor
    held_out: torch.Tensor
    truth: NDArray[np.int64]


def read_images(
    source: Path,
    header: WeightsHeader,
    calibrate: str | Path,
    data: str | Path | None,
    label_column: str | None,
    quiet: bool,
) -> Images:
    """Training images of `calibrate` to calibrate on; of `data`, or else of `calibrate`, the held-out ones to judge on.

    Raises DataError for streams, and for calibration images that are all of one class.
    """
    fitting, names = _training_images(source, calibrate, label_column)
    judged, classes = images_for(source, data or calibrate, label_column, quiet=quiet)
    if isinstance(fitting, Stream) or isinstance(judged, Stream):
        raise DataError("int8 cannot be calibrated or judged on a stream", hint="hf:NAME instead of hf-stream:NAME")
    present = np.unique(fitting.labels)
    if len(present) < 2 <= len(header.classes):
        raise DataError(
            f"{calibrate}: all images to calibrate on are of the class {names[present[0]]!r}",
            hint="int8 takes the range of every layer from them: give images of all classes",
        )
    positions = match_classes(classes, header.classes)
    pixels, labels = [], []
    for batch in evaluation_batches(judged, header.preprocessing, BATCH):
        if len(batch.labels):
            pixels.append(batch.pixels)
            labels.append(positions[batch.labels.numpy()])
    if not pixels:
        raise DataError(f"{data or calibrate}: no held-out image could be read")
    spread = torch.cat(list(pixels_of(fitting, header.preprocessing, CALIBRATION)))
    return Images(spread, torch.cat(pixels), np.concatenate(labels))


def _training_images(
    source: Path, calibrate: str | Path, label_column: str | None
) -> tuple[ImageCollection | Stream, tuple[str, ...]]:
    """Of the very data that a run was trained on, what it trained on; of others the training part."""
    trained_on = Run(source).data() if source.is_dir() else None
    if trained_on is not None and trained_on.held_out == "stratified":
        column = label_column or trained_on.label_column
        dataset = open_dataset(calibrate, seed=trained_on.seed, label_column=column, layout=trained_on.layout)
    else:
        dataset = open_dataset(calibrate, label_column=label_column or "label")
    return dataset.train, dataset.classes


def answers(logits: Logits, pixels: torch.Tensor) -> NDArray[np.int64]:
    """The first class of each image."""
    with torch.inference_mode():
        found = [logits(part).argmax(1).cpu() for part in torch.split(pixels, BATCH)]
    return torch.cat(found).numpy()


def change(truth: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> PairedChange:
    """What `after` lost and won against `before`."""
    was, is_now = before == truth, after == truth
    return PairedChange(int((was & ~is_now).sum()), int((~was & is_now).sum()), len(truth))
