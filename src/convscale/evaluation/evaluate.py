"""evaluate: a run or a weights file, and images, to accuracies."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscale.data import ImageCollection, open_dataset, open_images
from convscale.data.dataset import source_of
from convscale.data.images import Labels, Stream
from convscale.data.loader import Batch, Normalise, evaluation_batches
from convscale.errors import ConfigError, DataError
from convscale.nn import Model, keep_memory, load_weights, place
from convscale.preprocessing import Preprocessing
from convscale.processes import Processes
from convscale.progress import Progress
from convscale.records import ClassRecord, Evaluation, wilson_interval
from convscale.runs import WEIGHTS, Run, weights_file

MAX_UNREADABLE = 0.05  # share of images that may turn out unreadable
CONFUSION_CLASSES = 1000
NOTHING = Batch(torch.empty(0), torch.empty(0, dtype=torch.int64))


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
    keep_memory()
    model, header = load_weights(weights_file(path))
    held_out = _held_out_of(path, data, label_column)
    images, classes = held_out or open_images(data, label_column=label_column or "label")
    positions = match_classes(classes, header.classes)
    progress = Progress(math.ceil(len(images) / batch), quiet=quiet)
    measured = measure(
        place(model),
        images,
        header.preprocessing,
        header.classes,
        positions=positions,
        batch=batch,
        workers=workers,
        each_batch=lambda: progress.step(f"evaluated {min(progress.done_steps * batch, len(images)):,} images"),
    )
    for reason in measured.evaluation.unreadable:
        progress.note(f"skipped: {reason}")
    return measured.evaluation


def _held_out_of(
    path: Path, data: str | Path, label_column: str | None
) -> tuple[ImageCollection | Stream, tuple[str, ...]] | None:
    """The images that a run held out of `data` by a draw, None where it did not."""
    trained_on = Run(path).data() if path.is_dir() else None
    if trained_on is None or trained_on.held_out != "stratified":
        return None
    if trained_on.source != source_of(data):
        return None
    dataset = open_dataset(
        data,
        seed=trained_on.seed,
        label_column=label_column or trained_on.label_column,
        exclude=Run(path).excluded_images(),
    )
    if dataset.record().fingerprint != trained_on.fingerprint:
        raise DataError(
            f"{data}: {trained_on.train_images + trained_on.test_images} images when {path} was trained, now "
            f"{len(dataset.train) + len(dataset.test)}, or others: which were held out can no longer be told",
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


class Measured(NamedTuple):
    """An evaluation, and how often images of class row were taken for class column, where classes are few."""

    evaluation: Evaluation
    confusion: NDArray[np.int64] | None


@torch.inference_mode()
def measure(
    model: Model,
    images: ImageCollection | Stream,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    *,
    positions: Labels | None = None,
    batch: int = 64,
    workers: int = 0,
    processes: Processes | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    each_batch: Callable[[], None] = lambda: None,
) -> Measured:
    """Accuracy and confusion of `model` on `images`, shared out over `processes`.

    positions: the model's class of each class of the data, where they differ. Unreadable images are left out and
    named; raises DataError where they are more than their allowed share. `each_batch` is called after each.
    """
    group = processes or Processes()
    device = next(model.parameters()).device
    normalise = Normalise(preprocessing, device)
    was_training = model.training
    model.eval()
    count = len(classes)
    pairs = torch.zeros((count, count if count <= CONFUSION_CLASSES else 1), dtype=torch.int64)
    hits = torch.zeros((3, count), dtype=torch.int64)  # images, right at once, right among five; by class
    missing: list[str] = []
    loading = evaluation_batches(images, preprocessing, batch, workers, rank=group.rank, world=group.world)
    with closing(loading) as batches:
        while group.any((loaded := group.together(lambda: next(batches, None))) is not None):
            pixels, labels, unread = loaded or NOTHING  # another process may have more of them
            missing += [reason for _, reason in group.gather(unread)]
            if len(missing) > max_unreadable * len(images):
                raise DataError(
                    f"{len(missing)} of {len(images):,} images cannot be read; the last: {missing[-1]}",
                    hint="convscale data check lists them all",
                )
            if len(labels):
                truth = labels if positions is None else torch.from_numpy(positions)[labels]
                ranked = model(normalise(pixels)).topk(min(5, count)).indices.cpu()
                right = ranked == truth[:, None]
                for row, counted in enumerate((torch.ones_like(truth), right[:, 0], right.any(1))):
                    hits[row].index_add_(0, truth, counted.long())
                if count <= CONFUSION_CLASSES:
                    pairs.view(-1).index_add_(0, truth * count + ranked[:, 0], torch.ones_like(truth))
            each_batch()
    model.train(was_training)
    hits, pairs = group.sum(hits), group.sum(pairs)
    confusion = pairs.numpy() if count <= CONFUSION_CLASSES else None
    return Measured(_evaluation(hits, classes, tuple(missing)), confusion)


def _evaluation(hits: Tensor, classes: tuple[str, ...], missing: tuple[str, ...]) -> Evaluation:
    n, first, top = hits.sum(1).tolist()
    if not n:
        raise DataError("no image to evaluate on could be read")
    return Evaluation(
        top1=first / n,
        top5=top / n,
        n=n,
        interval95=wilson_interval(first, n),
        per_class=tuple(
            ClassRecord(name, mine, right / mine if mine else None)
            for name, mine, right in zip(classes, hits[0].tolist(), hits[1].tolist(), strict=True)
        ),
        unreadable=missing,
    )
