"""Typed rows of results: what training and evaluation measured. Accuracies are fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Metric = Literal["top1", "mean_per_class"]


@dataclass(frozen=True, slots=True)
class DataRecord:
    """Which data a run was trained on, and which part was held out: a split of its own, or a draw by `seed`.

    fingerprint: of class names, images' names below `source`, and labels, in their order. published: the name of a
    published data set, and metric what is reported of it; files of before have neither.
    """

    source: str
    held_out: Literal["test", "validation", "stratified"]
    seed: int
    label_column: str
    train_images: int
    test_images: int
    fingerprint: str = ""
    published: str | None = None
    metric: Metric = "top1"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of metrics.jsonl. `train_loss` and `gradient_norm` are means over the epoch's steps, none
    where all were left out; `top1` is of the held-out images, or of the validation images where early stopping has
    some; `seconds` are those of training alone and the four that follow are parts of them."""

    epoch: int
    steps: int
    learning_rate: float
    train_loss: float | None
    gradient_norm: float | None
    top1: float
    seconds: float
    data_seconds: float
    forward_seconds: float
    backward_seconds: float
    optimizer_seconds: float
    images_per_second: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TrainRecord:
    """How a training ended: result.json.

    top1: of the weights that were kept, the last epoch's, or the best one's with early stopping. best_top1,
    best_epoch: of best.safetensors, which the held-out images chose, or with early stopping the validation images.
    seconds: of all of it, interruptions left out, and the trainings of a search, whose own are in search.json.
    images_per_second: of training alone. predicted_seconds: from the first steps, none for a short run.
    unreadable: images that were skipped. processes: how many trained. state_sha256: of weights, EMA, optimizer,
    position of the sampler and random state.
    """

    top1: float
    epochs: int
    steps: int
    seconds: float
    images_per_second: float
    best_top1: float
    best_epoch: int
    predicted_seconds: float | None
    unreadable: int
    processes: int
    state_sha256: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SearchRow:
    """What a search found for one pair of values: the accuracy on `n` training images that were held out for it, None
    where it failed, and why."""

    learning_rate: float
    weight_decay: float
    accuracy: float | None
    n: int
    seconds: float
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """The accuracy on the images of one class."""

    name: str
    n: int
    top1: float | None  # None where the class has no image


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy over `n` images: top-1 with its 95 % Wilson interval, top-5. `unreadable` images do not count.

    mean_per_class: the mean of the classes' top-1, over those that have images. ece: the expected calibration error,
    None where a probability was not finite. images_per_second: with loading and all, None in trainings, and no part
    of equality. Files of before have none of the fields from mean_per_class on.
    """

    top1: float
    top5: float
    n: int
    interval95: tuple[float, float]
    per_class: tuple[ClassRecord, ...]
    unreadable: tuple[str, ...] = ()
    mean_per_class: float | None = None
    ece: float | None = None
    images_per_second: float | None = field(default=None, compare=False)
    top5_interval95: tuple[float, float] | None = None
    mean_per_class_interval95: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def accuracy(self, metric: Metric) -> float:
        """The accuracy that `metric` names; top-1 in files of before, which have no other."""
        return self.top1 if metric == "top1" or self.mean_per_class is None else self.mean_per_class

    def in_words(self, metric: Metric, interval: str = "") -> str:
        """The accuracy that `metric` names, with its interval after the words `interval`; top-1 is always told."""
        low, high = self.interval95
        if metric == "top1" or self.mean_per_class is None or self.mean_per_class_interval95 is None:
            return f"top-1 {self.top1:.4f} ({interval}{low:.4f} to {high:.4f})"
        low, high = self.mean_per_class_interval95
        return f"mean per class {self.mean_per_class:.4f} ({interval}{low:.4f} to {high:.4f}), top-1 {self.top1:.4f}"


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One evaluation of a sweep: on images of `resolution` pixels a side, cut from `resolution / crop`."""

    resolution: int
    crop: float
    evaluation: Evaluation

    def as_dict(self) -> dict[str, Any]:
        return {"resolution": self.resolution, "crop": self.crop, **self.evaluation.as_dict()}


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The `n` images whose predicted class had a probability above `low` and up to `high`: the mean of these
    probabilities, and the share that was right. Both 0 where n is."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable classes of one image, most probable first."""

    image: str
    classes: tuple[tuple[str, float], ...]

    def as_dict(self) -> dict[str, Any]:
        ranked = [{"class": name, "probability": probability} for name, probability in self.classes]
        return {"image": self.image, "classes": ranked}


def wilson_interval(correct: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927); stays within 0 and 1 near the ends."""
    if n == 0:
        return 0.0, 1.0
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_per_class(per_class: Sequence[ClassRecord]) -> tuple[float, tuple[float, float]]:
    """The mean of the classes' top-1, each counted once however many images it has, and its 95 % interval.

    Classes without images are left out; one at least must have some. The interval is Wilson's for as many images as
    k classes of equal size would need to tell the mean as well, k^2 / sum(1 / n): that of top-1 where all are equally
    large, wider where some are small. It takes the classes as they are, not as a sample of other classes.
    """
    counted = [(row.top1, row.n) for row in per_class if row.top1 is not None]
    mean = sum(top1 for top1, _ in counted) / len(counted)
    images = len(counted) ** 2 / sum(1 / n for _, n in counted)
    return mean, wilson_interval(mean * images, images)


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """How far probabilities are from the share that is right: |accuracy - confidence|, a mean over the images of all
    bins (Guo et al. 2017, equation 3). One image at least must have been counted."""
    images = sum(one.n for one in bins)
    return sum(one.n * abs(one.accuracy - one.confidence) for one in bins) / images
