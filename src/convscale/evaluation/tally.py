"""Counts taken while a network is evaluated, and the resulting evaluation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscale.errors import DataError
from convscale.nn.processes import Processes
from convscale.records import CalibrationBin, ClassRecord, ConfusedPair, Evaluation, expected_calibration_error
from convscale.statistics import mean_per_class, wilson_interval

CONFUSION_CLASSES = 1000
CALIBRATION_BINS = 15  # as Guo et al. 2017
CONFUSED_PAIRS = 10
CONFIDENCE_UNITS = 2**32  # of probability 1: sums stay whole and hold two billion images


class Measured(NamedTuple):
    """An evaluation; how often images of class row were predicted as class column, None for more than a thousand
    classes; images by the probability of their predicted class, empty where one was not finite."""

    evaluation: Evaluation
    confusion: NDArray[np.int64] | None
    calibration: tuple[CalibrationBin, ...]


class Tally:
    """Counts over the batches of an evaluation of `classes` classes. All are whole numbers, so that any number of
    processes sums to the same."""

    def __init__(self, classes: int) -> None:
        self.has_confusion = classes <= CONFUSION_CLASSES
        self.hits = torch.zeros((3, classes), dtype=torch.int64)  # images, right at once, right among five; by class
        self.pairs = torch.zeros((classes, classes if self.has_confusion else 1), dtype=torch.int64)
        # Images, right ones, sum of probabilities; by bin, the last column for what is not finite.
        self.bins = torch.zeros((3, CALIBRATION_BINS + 1), dtype=torch.int64)
        self._edges = torch.arange(1, CALIBRATION_BINS, dtype=torch.float64) / CALIBRATION_BINS

    def add(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Count a batch: logits (n, classes) on any device, true classes (n,) int64 on the CPU. The predicted classes
        (n,) int64 on the CPU."""
        best = logits.topk(min(5, logits.shape[1]))
        confidence = (best.values[:, 0].float() - logits.float().logsumexp(1)).exp().clamp(max=1).cpu().double()
        ranked = best.indices.cpu()
        right, ones = ranked == truth[:, None], torch.ones_like(truth)
        first = right[:, 0].long()
        for row, counted in enumerate((ones, first, right.any(1).long())):
            self.hits[row].index_add_(0, truth, counted)
        if self.has_confusion:
            self.pairs.view(-1).index_add_(0, truth * len(self.pairs) + ranked[:, 0], ones)
        finite = confidence.isfinite()
        at = torch.bucketize(confidence, self._edges).where(finite, CALIBRATION_BINS)
        units = (confidence.where(finite, 0.0) * CONFIDENCE_UNITS).round().long()
        for row, counted in enumerate((ones, first, units)):
            self.bins[row].index_add_(0, at, counted)
        return ranked[:, 0]

    def sum_over(self, group: Processes) -> None:
        """Give every process the sum of all counts."""
        for counts in (self.hits, self.pairs, self.bins):
            group.sum(counts)

    def measured(self, classes: tuple[str, ...], unreadable: tuple[str, ...]) -> Measured:
        """The evaluation from the counts. Raises DataError if no image was counted."""
        n, first, top = self.hits.sum(1).tolist()
        if not n:
            raise DataError("no image to evaluate on could be read")
        per_class = tuple(
            ClassRecord(name, mine, right / mine if mine else None)
            for name, mine, right in zip(classes, self.hits[0].tolist(), self.hits[1].tolist(), strict=True)
        )
        mean, interval = mean_per_class([(row.top1, row.n) for row in per_class])
        calibration = self._calibration()
        evaluation = Evaluation(
            top1=first / n,
            top5=top / n,
            n=n,
            interval95=wilson_interval(first, n),
            per_class=per_class,
            unreadable=unreadable,
            mean_per_class=mean,
            ece=expected_calibration_error(calibration) if calibration else None,
            top5_interval95=wilson_interval(top, n),
            mean_per_class_interval95=interval,
            confused=self._confused(classes) if self.has_confusion else None,
        )
        return Measured(evaluation, self.pairs.numpy() if self.has_confusion else None, calibration)

    def _confused(self, classes: tuple[str, ...]) -> tuple[ConfusedPair, ...]:
        """The pairs of classes that were confused most often, most first; equal ones in the classes' order."""
        counts = self.pairs.numpy().copy()
        np.fill_diagonal(counts, 0)
        most = np.argsort(-counts, axis=None, kind="stable")[:CONFUSED_PAIRS]
        places = (divmod(place, len(classes)) for place in most.tolist() if counts.flat[place])
        return tuple(ConfusedPair(classes[row], classes[at], int(counts[row, at])) for row, at in places)

    def _calibration(self) -> tuple[CalibrationBin, ...]:
        images, right, units = self.bins.tolist()
        if images[CALIBRATION_BINS]:
            return ()
        return tuple(
            CalibrationBin(
                low=index / CALIBRATION_BINS,
                high=(index + 1) / CALIBRATION_BINS,
                n=images[index],
                confidence=units[index] / CONFIDENCE_UNITS / max(images[index], 1),
                accuracy=right[index] / max(images[index], 1),
            )
            for index in range(CALIBRATION_BINS)
        )
