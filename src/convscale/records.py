"""Typed rows of results: what training and evaluation measured. Accuracies are fractions."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class DataRecord:
    """Which data a run was trained on, and which part was held out: a split of its own, or a draw by `seed`.

    fingerprint: of class names, images' names below `source`, and labels, in their order.
    """

    source: str
    held_out: Literal["test", "validation", "stratified"]
    seed: int
    label_column: str
    train_images: int
    test_images: int
    fingerprint: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of metrics.jsonl. `train_loss` and `gradient_norm` are means over the epoch's steps, none
    where all were left out; `top1` is of the
    held-out images, `seconds` are those of training alone and the four that follow are parts of them."""

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

    top1: of the weights that were kept, the last epoch's. best_top1, best_epoch: of best.safetensors, which the
    held-out images chose. seconds: of all of it, interruptions left out. images_per_second: of training alone.
    predicted_seconds: from the first steps, none for a short run. unreadable: images that were skipped.
    processes: how many trained. state_sha256: of weights, EMA, optimizer, position of the sampler and random state.
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
class ClassRecord:
    """The accuracy on the images of one class."""

    name: str
    n: int
    top1: float | None  # None where the class has no image


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy over `n` images: top-1 with its 95 % Wilson interval, top-5. `unreadable` images do not count."""

    top1: float
    top5: float
    n: int
    interval95: tuple[float, float]
    per_class: tuple[ClassRecord, ...]
    unreadable: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable classes of one image, most probable first."""

    image: str
    classes: tuple[tuple[str, float], ...]

    def as_dict(self) -> dict[str, Any]:
        ranked = [{"class": name, "probability": probability} for name, probability in self.classes]
        return {"image": self.image, "classes": ranked}


def wilson_interval(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927); stays within 0 and 1 near the ends."""
    if n == 0:
        return 0.0, 1.0
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
