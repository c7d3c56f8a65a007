"""What an evaluation found beyond its figures: details.json of a run."""

from __future__ import annotations

from dataclasses import dataclass

from convscale.records.evaluation import CalibrationBin


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """How many images of the class at position `true` were taken for that at `predicted`, which may be the same."""

    true: int
    predicted: int
    count: int


@dataclass(frozen=True, slots=True)
class MistakenImage:
    """An image that was taken for another class, with the probability of that; `picture` is a small file in the folder
    of the record."""

    image: str
    true: str
    predicted: str
    probability: float
    picture: str


@dataclass(frozen=True, slots=True)
class EvaluationDetails:
    """The cells of a confusion matrix that are not 0, row by row, None for more than a thousand classes; images by the
    probability of their predicted class, none where one was not finite; the most confident mistakes, most confident
    first, None where they were not collected."""

    classes: tuple[str, ...]
    confusion: tuple[ConfusionCell, ...] | None
    calibration: tuple[CalibrationBin, ...]
    mistakes: tuple[MistakenImage, ...] | None
