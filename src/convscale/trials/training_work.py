"""What a worker does with a trial: train it in its run folder, or resume it there, and return the result.

The coordinator imports this too, to open the images and to name the work: PyTorch is loaded only where training runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from convscale.data import Dataset, ImageCollection, open_dataset
from convscale.data.dataset import stratified_split
from convscale.data.images import Kept, Stream, Subset
from convscale.errors import DataError
from convscale.recipes import Recipe
from convscale.recipes.rates import HELD_OUT_SHARE
from convscale.records import DataChoice, Evaluation
from convscale.runs import Run
from convscale.trials.machine_change import leave_what_resumes_here
from convscale.trials.precision import shared_precision, study_of
from convscale.trials.trial import Trial, TrialResult

AT_END: dict[str, Any] = {
    "evaluate_each_epoch": False,
    "pictures": False,
    "workers": 0,
}  # settings: only the last accuracy counts
SAMPLED = 16  # images of each half, whose bytes are part of a fingerprint
KEPT_BYTES = 256 * 2**20  # of prepared images, in each worker and for each half of a data set


def train_trial(trial: Trial, run: Path) -> TrialResult:
    """Train `trial` in the folder `run`, from its newest checkpoint where it has one.

    Raises as `open_dataset`, `train` and `resume` do: TrainingError where the training itself fails,
    TrainingStopped where a signal ended it.
    """
    from convscale.training import resume, train  # which bring PyTorch

    dataset = choose_images(trial.data)
    leave_what_resumes_here(run)
    if not run.exists():
        recipe, settings = _as_in_its_study(trial, run)
        folder, evaluation = train(
            trial.network, dataset, recipe, run, seed=trial.seed, stored_range=trial.data.stored_range, quiet=True,
            **settings,
        )  # fmt: skip
    else:
        folder, evaluation = resume(run, data=dataset, quiet=True)
    return _result(folder, evaluation, dataset)


def _as_in_its_study(trial: Trial, run: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and the settings to train by, with the study's precision where the recipe leaves it open."""
    from convscale.nn import pick_device

    study, recipe = study_of(run), trial.recipe
    if recipe.precision != "auto" or pick_device().type != "cpu" or study is None:
        return recipe, AT_END
    chosen = shared_precision(study, trial)
    return replace(recipe, precision=chosen.training), AT_END | {"evaluation_precision": chosen.evaluation}


def _result(run: Run, evaluation: Evaluation, dataset: Dataset) -> TrialResult:
    from convscale.nn import device_name, pick_device, used_precision

    record, recipe, device = run.result(), run.recipe(), pick_device()
    assert record is not None, "a finished training has a result"
    threads = int(os.environ.get("OMP_NUM_THREADS", "1")) if device.type == "cpu" else 1
    return TrialResult(
        accuracy=evaluation.accuracy(dataset.metric),
        interval95=evaluation.interval(dataset.metric),
        steps=record.steps,
        device_seconds=record.seconds * threads,
        images=record.steps * recipe.batch,
        device=device_name(device),
        precision=used_precision(device, recipe.precision),
    )


@lru_cache(maxsize=2)
def choose_images(choice: DataChoice) -> Dataset:
    """The data set with as many images as `choice` asks for, drawn by its seed. Raises DataError where it has fewer."""
    dataset = open_dataset(
        choice.source, seed=choice.seed, label_column=choice.label_column, layout=choice.layout
    )  # fmt: skip
    train = _draw(dataset.train, choice.train_images, choice, "training")
    test = _draw(dataset.test, choice.test_images, choice, "held-out")
    if choice.tuning:
        train, test = _divided(train, choice, dataset.classes)
    validation = None  # trials choose nothing within themselves
    return replace(dataset, train=_kept(train), test=_kept(test), validation=validation)


@lru_cache(maxsize=2)
def fingerprint_of(choice: DataChoice) -> str:
    """What tells the images of `choice` from all others, wherever they lie: their classes, names and labels in order,
    the bytes of some of them, for sets exist in several sizes under the same names, and the accuracy that is reported;
    "" for a stream, whose images have no names. Raises as `choose_images` does."""
    dataset = choose_images(choice)
    if isinstance(dataset.train, Stream):
        return ""
    record = dataset.record()
    fingerprint = record.fingerprint
    if stored := [*_stored(dataset.train), *_stored(dataset.test)]:
        fingerprint = hashlib.sha256(b"\0".join([fingerprint.encode(), *stored])).hexdigest()
    return fingerprint if record.metric == "top1" else f"{fingerprint} {record.metric}"


def _stored(images: ImageCollection | Stream) -> Iterator[bytes]:
    """The encoded images of SAMPLED places; none where they are pixels, and not those that cannot be read."""
    if isinstance(images, Stream):
        return
    for index in np.linspace(0, len(images) - 1, min(SAMPLED, len(images)), dtype=int):
        with suppress(DataError):
            if content := images.content(int(index)):
                yield content


def _draw(
    images: ImageCollection | Stream, count: int | None, choice: DataChoice, kind: str
) -> ImageCollection | Stream:
    if count is None or count == len(images):
        return images
    if isinstance(images, Stream):
        raise DataError(f"{choice.source} is a stream: a subset of it cannot be drawn", hint="omit the counts")
    if count > len(images):
        raise DataError(f"{choice.source} has {len(images):,} {kind} images, not {count:,}", hint="ask for fewer")
    chance = np.random.default_rng([choice.seed, kind == "training"])
    return Subset(images, np.sort(chance.permutation(len(images))[:count]))


def _divided(
    train: ImageCollection | Stream, choice: DataChoice, classes: tuple[str, ...]
) -> tuple[ImageCollection, ImageCollection]:
    """The training images but for a tenth of each class, and those."""
    if isinstance(train, Stream):
        raise DataError(
            f"{choice.source} is a stream: no images can be drawn from it to tune by", hint="omit tune_rate"
        )
    kept, held = stratified_split(train.labels, HELD_OUT_SHARE, choice.seed, classes)
    return Subset(train, kept), Subset(train, held)


def _kept(images: ImageCollection | Stream) -> ImageCollection | Stream:
    """Cached from one training of this process to the next."""
    return images if isinstance(images, Stream) else Kept(images, KEPT_BYTES)
