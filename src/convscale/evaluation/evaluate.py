"""evaluate: a run or a weights file, and images, to accuracies."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from convscale.data import ImageCollection, open_dataset, open_images
from convscale.data.images import Labels
from convscale.data.loader import Normalise, evaluation_batches
from convscale.errors import ConfigError, DataError
from convscale.nn import Model, load_weights, place
from convscale.preprocessing import Preprocessing
from convscale.progress import Progress
from convscale.records import ClassRecord, Evaluation, wilson_interval
from convscale.runs import WEIGHTS, Run, weights_file


def evaluate(
    run_or_file: str | Path,
    data: str | Path,
    *,
    batch: int = 64,
    workers: int = 0,
    label_column: str | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Accuracy of a run or weights file on `data`: its test split, else its validation split, else all images.

    Where the run was trained on this very data and held out a part by a seeded draw, that part alone counts; a
    weights file does not know what it was trained on. `label_column` is the run's, or "label". Classes are matched
    by name, or by number where the data numbers them and the network does not. Raises RunError and DataError.
    """
    if batch < 1:
        raise ConfigError(f"batch {batch} is not allowed", hint="at least 1")
    path = Path(run_or_file)
    model, header = load_weights(weights_file(path))
    held_out = _held_out_of(path, data, label_column)
    images, classes = held_out or open_images(data, label_column=label_column or "label")
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


def _held_out_of(
    path: Path, data: str | Path, label_column: str | None
) -> tuple[ImageCollection, tuple[str, ...]] | None:
    """The images that a run held out of `data` by a draw, None where it did not."""
    trained_on = Run(path).data() if path.is_dir() else None
    if trained_on is None or trained_on.held_out != "stratified":
        return None
    source = str(data) if str(data) == "digits" else str(Path(data).resolve())
    if trained_on.source != source:
        return None
    dataset = open_dataset(data, seed=trained_on.seed, label_column=label_column or trained_on.label_column)
    if dataset.record() != replace(trained_on, label_column=dataset.label_column):
        raise DataError(
            f"{data}: {trained_on.train_images + trained_on.test_images} images when {path} was trained, now "
            f"{len(dataset.train) + len(dataset.test)}: which were held out can no longer be told",
            hint=f"put images it never saw into a folder of their own, or evaluate {path / WEIGHTS} on all",
        )
    return dataset.test, dataset.classes


def match_classes(found: tuple[str, ...], known: tuple[str, ...]) -> Labels:
    """The position in `known` of each class of the data. Raises DataError for one that has none."""
    positions = {name: index for index, name in enumerate(known)}
    if all(name in positions for name in found):
        return np.array([positions[name] for name in found], dtype=np.int64)
    numbered = not any(name.isdecimal() for name in known)
    numbers = {name: int(name) for name in found if numbered and name.isdecimal() and int(name) < len(known)}
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
