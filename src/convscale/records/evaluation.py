"""What evaluation measured. Accuracies are fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from convscale.display import Display, Displayed
from convscale.flattening import AsDict

Metric = Literal["top1", "mean_per_class"]


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """The accuracy on the images of one class."""

    name: str
    n: int
    top1: float | None  # None where the class has no image


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """How many images of the class `true` were taken for `predicted`."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(AsDict, Displayed):
    """Accuracy over `n` images: top-1 with its 95 % Wilson interval, top-5. `unreadable` images do not count.

    mean_per_class: the mean of the classes' top-1, over those that have images. ece: the expected calibration error,
    None where a probability was not finite. images_per_second: with loading and all, None in trainings, and left out
    of equality. confused: the pairs of classes that are confused most, at most ten, most first; None where classes are
    too many to count them. Older files have none of the fields from mean_per_class on.
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
    confused: tuple[ConfusedPair, ...] | None = None

    def _display(self) -> Display:
        """Each figure with its interval; of the classes, only how many there are."""
        shown: list[tuple[str, float | None, tuple[float, float] | None]] = [
            ("top-1", self.top1, self.interval95),
            ("top-5", self.top5, self.top5_interval95),
            ("mean per class", self.mean_per_class, self.mean_per_class_interval95),
            ("calibration error", self.ece, None),
        ]
        rows = tuple(
            (name, f"{value:.4f}", "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}")
            for name, value, ends in shown
            if value is not None
        )
        unreadable = f"; {len(self.unreadable):,} more could not be read" if self.unreadable else ""
        title = f"Evaluation on {self.n:,} images of {len(self.per_class):,} classes{unreadable}"
        return Display(title, ("", "", "95 % interval"), rows)

    def accuracy(self, metric: Metric) -> float:
        """The accuracy that `metric` names; top-1 in older files, which have no other."""
        return self.top1 if metric == "top1" or self.mean_per_class is None else self.mean_per_class

    def interval(self, metric: Metric) -> tuple[float, float]:
        """The interval of `accuracy(metric)`."""
        other = self.mean_per_class_interval95
        return self.interval95 if metric == "top1" or self.mean_per_class is None or other is None else other

    def in_words(self, metric: Metric, interval: str = "") -> str:
        """The accuracy that `metric` names, with its interval after the words `interval`; top-1 is always given."""
        low, high = self.interval95
        if metric == "top1" or self.mean_per_class is None or self.mean_per_class_interval95 is None:
            return f"top-1 {self.top1:.4f} ({interval}{low:.4f} to {high:.4f})"
        low, high = self.mean_per_class_interval95
        return f"mean per class {self.mean_per_class:.4f} ({interval}{low:.4f} to {high:.4f}), top-1 {self.top1:.4f}"


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One evaluation of a sweep: on images of `resolution` pixels a side, cut from `resolution / crop`."""

    JSON: ClassVar = ("resolution", "crop", "**evaluation")

    resolution: int
    crop: float
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Sweep:
    """One network on the same images at several resolutions and crops."""

    rows: tuple[SweepRow, ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The `n` images whose predicted class had a probability above `low` and up to `high`: the mean of these
    probabilities, and the share that was correct. Both are 0 where n is."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Prediction(AsDict):
    """The most probable classes of one image, most probable first: pairs of name and probability. Empty for an image
    that could not be read, whose `error` says why."""

    image: str
    classes: tuple[tuple[str, float], ...] = field(metadata={"each": ("class", "probability")})
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PredictionSet:
    """The predictions of one network for several images."""

    predictions: tuple[Prediction, ...]


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """How far probabilities are from the share that is correct: |accuracy - confidence|, averaged over the images of
    all bins (Guo et al. 2017, equation 3). At least one image must have been counted."""
    images = sum(one.n for one in bins)
    return sum(one.n * abs(one.accuracy - one.confidence) for one in bins) / images
