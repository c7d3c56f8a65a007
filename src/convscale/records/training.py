"""What training measured. Accuracies are fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from convscale.records.evaluation import Evaluation, Metric


def held_out_in_words(held_out: str, images: int, validation_images: int) -> str:
    """What a data set keeps from training, and where it comes from."""
    kept = "a drawn fifth" if held_out == "stratified" else f"its {held_out} split"
    judging = f"{validation_images:,} to judge epochs by; " if validation_images else ""
    return f"{judging}{images:,} held out ({kept})"


@dataclass(frozen=True, slots=True)
class DataRecord:
    """Which data a run was trained on, and which part was held out: a split of its own, or a draw by `seed`.

    fingerprint: of class names, images' names below `source`, and labels, in their order. published: the name of a
    published data set, and metric what is reported of it. layout: what the folders were declared to be, None where
    their names and contents showed it. test_images: those held out. validation_images: those that epochs are judged by,
    of the data's own validation split, 0 without one.
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
    layout: Literal["classes", "splits"] | None = None
    validation_images: int = 0


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The numbers that a recipe's precision "auto" comes to on a CPU, and the reason in words: precision.json of a
    study, whose trials all compute alike."""

    training: Literal["fp32", "bf16"]
    evaluation: Literal["fp32", "bf16"]
    why: str


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of metrics.jsonl. `train_loss` and `gradient_norm` are means over the epoch's steps, none where all were
    left out; `top1` is of the validation images where there are such, a split of the data's or those that early
    stopping takes, else of the held-out images, None where the epoch was not evaluated; `seconds` are those of training
    alone and the four that follow are parts of them."""

    epoch: int
    steps: int
    learning_rate: float
    train_loss: float | None
    gradient_norm: float | None
    top1: float | None
    seconds: float
    data_seconds: float
    forward_seconds: float
    backward_seconds: float
    optimizer_seconds: float
    images_per_second: float
    mean_per_class: float | None = None
    """On the same images as top1."""

    def accuracy(self, metric: Metric) -> float | None:
        """The accuracy that `metric` names; top-1 in older files, which have no other; None without an evaluation."""
        return self.top1 if metric == "top1" or self.mean_per_class is None else self.mean_per_class


@dataclass(frozen=True, slots=True)
class TrainRecord:
    """How a training ended: result.json.

    top1: of the weights that were kept, the last epoch's, or the best one's with early stopping. best_top1,
    best_epoch: of best.safetensors, the best epoch by the data set's metric, of equals the last, on the validation
    images where there are such, else on the held-out ones; the last epoch where that alone was evaluated. seconds:
    of all of it, interruptions left out, and the trainings of a search, whose own are in search.json.
    images_per_second: of training alone. predicted_seconds: from the first steps that trained all, none for a short
    run. unreadable: images that were skipped. processes: how many trained. state_sha256: of weights, EMA,
    optimizer, position of the sampler and random state. test_top1: of the kept weights on the held-out images, as
    top1; validation_top1: on the validation images, None where there are none.
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
    validation_top1: float | None = None
    test_top1: float | None = None


@dataclass(frozen=True, slots=True)
class SearchRow:
    """What a search found for one pair of values: the accuracy on the `n` images of the validation split, or on as many
    training images that were held out for it, None where it failed, and why."""

    learning_rate: float
    weight_decay: float
    accuracy: float | None
    n: int
    seconds: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class ValueSearch:
    """What a search for learning rate and weight decay has tried so far: search.json."""

    rows: tuple[SearchRow, ...]


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run folder, how its training ended, None where it has not, and its accuracy on the held-out images."""

    JSON: ClassVar = ("run", "**result", "evaluation")

    run: str
    result: TrainRecord | None
    evaluation: Evaluation
