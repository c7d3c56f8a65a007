"""Pictures and the confusion matrix of an evaluation."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscale.errors import ConfigError
from convscale.evaluation.measurement import EvaluatedBatch
from convscale.evaluation.tally import CONFUSION_CLASSES, Measured
from convscale.figures import SHOWN_MISTAKES, Mistake, draw_confusion, draw_mistakes, draw_reliability, remove_figure
from convscale.files import write_text
from convscale.progress import print_note
from convscale.units import format_number


class Mistakes:
    """Collects the most confident mistakes of an evaluation."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self.worst: list[Mistake] = []  # so far, most confident first

    def add(self, batch: EvaluatedBatch) -> None:
        """Add a batch, whose images may include mistakes."""
        probabilities = batch.logits.float().cpu().softmax(1).gather(1, batch.predicted[:, None])[:, 0]
        wrong = (batch.truth != batch.predicted) & probabilities.isfinite()
        for at in probabilities.where(wrong, -1.0).argsort(descending=True, stable=True)[:SHOWN_MISTAKES].tolist():
            if wrong[at]:
                true, predicted = self.classes[int(batch.truth[at])], self.classes[int(batch.predicted[at])]
                pixels = batch.pixels[at].cpu().numpy().copy()
                self.worst.append(Mistake(batch.names[at], pixels, true, predicted, float(probabilities[at])))
        self.worst.sort(key=lambda mistake: -mistake.probability)
        del self.worst[SHOWN_MISTAKES:]


class Pictures:
    """Writes reliability.png, confusion.png, confusion.csv (a row per true class) and mistakes.png into `folder`, and
    each picture as SVG and PDF beside it. `name`: of the data, for their titles.

    The folder is created. Raises ConfigError if it cannot be created.
    """

    def __init__(self, folder: str | Path, classes: tuple[str, ...], name: str = "") -> None:
        self.folder, self.classes, self.name = Path(folder), classes, name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"pictures {folder}: cannot create a folder there: {error.strerror}",
                hint="name a new or existing folder",
            ) from None
        self._collected = Mistakes(classes)
        self.add = self._collected.add

    @property
    def mistakes(self) -> list[Mistake]:
        """The most confident ones so far, most confident first."""
        return self._collected.worst

    def draw(self, measured: Measured) -> None:
        """Write what can be drawn, and say what cannot."""
        images = format_number(measured.evaluation.n, "image")
        title = [f"{self.name}: {images}" if self.name else images]
        if measured.calibration:
            draw_reliability(measured.calibration, self.folder / "reliability.png", title)
        else:
            print_note("no reliability.png: a probability is not finite")
        if measured.confusion is not None:
            draw_confusion(measured.confusion, self.classes, self.folder / "confusion.png", title)
            write_text(self.folder / "confusion.csv", format_confusion(measured.confusion, self.classes))
        else:
            print_note(f"no confusion matrix: {len(self.classes):,} classes, {CONFUSION_CLASSES:,} at most")
        if self.mistakes:
            draw_mistakes(self.mistakes, self.folder / "mistakes.png", title)
        else:
            remove_figure(self.folder / "mistakes.png")  # of an evaluation before
            print_note("no mistakes.png: there are no mistakes to show")


def format_confusion(counts: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """The matrix as CSV: one row per true class, one column per predicted class, names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, counts.tolist(), strict=True))
    return text.getvalue()
