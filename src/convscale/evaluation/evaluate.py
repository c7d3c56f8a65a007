"""evaluate: a run or a weights file, and images, to accuracies."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from convscale.data import ImageCollection, Normalise, evaluation_batches, open_dataset, open_images
from convscale.errors import DataError
from convscale.nn import Model, load_weights, place
from convscale.preprocessing import Preprocessing
from convscale.progress import Progress
from convscale.records import ClassRecord, Evaluation, wilson_interval
from convscale.runs import Run, weights_file

Labels = NDArray[np.int64]


def evaluate(
    run_or_file: str | Path,
    data: str | Path,
    *,
    batch: int = 64,
    workers: int = 0,
    label_column: str = "label",
    quiet: bool = False,
) -> Evaluation:
    """Accuracy of a run or weights file on `data`: its test split, else its validation split, else all images.

    Where the run was trained on this very data and held out a part by a seeded draw, that part alone counts.
    Classes are matched by name, or by number where the data names them by number. Raises RunError and
    DataError.
    """
    path = Path(run_or_file)
    model, header = load_weights(weights_file(path))
    held_out = _held_out_of(path, data, label_column)
    images, classes = held_out or open_images(data, label_column=label_column)
    positions = match_classes(classes, header.classes)
    return evaluate_model(
        place(model),
        images,
        header.preprocessing,
        header.classes,
        labels=positions[images.labels],
        batch=batch,
        workers=workers,
        progress=Progress(math.ceil(len(images) / batch), quiet=quiet),
    )


def _held_out_of(path: Path, data: str | Path, label_column: str) -> tuple[ImageCollection, tuple[str, ...]] | None:
    """The images that a run held out of `data` by a draw, None where it did not."""
    if not path.is_dir():
        return None
    trained_on = Run(path).data()
    if trained_on["held_out"] != "stratified":
        return None
    source = str(data) if str(data) == "digits" else str(Path(data).resolve())
    if trained_on["source"] != source:
        return None
    dataset = open_dataset(data, seed=trained_on["seed"], label_column=label_column)
    return dataset.test, dataset.classes


def match_classes(found: tuple[str, ...], known: tuple[str, ...]) -> Labels:
    """The position in `known` of each class of the data. Raises DataError for one that has none."""
    positions = {name: index for index, name in enumerate(known)}
    if all(name in positions for name in found):
        return np.array([positions[name] for name in found], dtype=np.int64)
    numbers = {name: int(name) for name in found if name.isdecimal() and int(name) < len(known)}
    if len(numbers) == len(found):
        return np.array(list(numbers.values()), dtype=np.int64)
    strange = next(name for name in found if name not in positions and name not in numbers)
    raise DataError(
        f"the data has a class {strange!r} that the network does not know",
        hint=f"the network's {len(known)} classes begin with {', '.join(known[:5])}",
    )


@torch.inference_mode()
def evaluate_model(
    model: Model,
    images: ImageCollection,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    *,
    labels: Labels | None = None,
    batch: int = 64,
    workers: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Accuracy of `model` on `images`; `labels` replace the collection's own where classes were matched."""
    truth = images.labels if labels is None else labels
    device = next(model.parameters()).device
    normalise = Normalise(preprocessing, device)
    was_training = model.training
    model.eval()
    ranks = []
    top = min(5, len(classes))
    for pixels, _ in evaluation_batches(images, preprocessing, batch, workers):
        ranks.append(model(normalise(pixels)).topk(top).indices.cpu())
        if progress is not None:
            progress.step(f"evaluated {min(len(ranks) * batch, len(images)):,} of {len(images):,} images")
    model.train(was_training)
    hits = torch.cat(ranks).numpy() == truth[:, None]
    first = hits[:, 0]
    return Evaluation(
        top1=float(first.mean()),
        top5=float(hits.any(axis=1).mean()),
        n=len(truth),
        interval95=wilson_interval(int(first.sum()), len(truth)),
        per_class=tuple(
            ClassRecord(name, int(mine.sum()), float(first[mine].mean()) if mine.any() else None)
            for index, name in enumerate(classes)
            for mine in [truth == index]
        ),
    )
