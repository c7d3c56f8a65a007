"""Pictures and the confusion matrix of an evaluation."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscale.errors import ConfigError
from convscale.evaluation.tally import CONFUSION_CLASSES, Measured
from convscale.figures import draw_confusion, draw_reliability
from convscale.files import write_text
from convscale.progress import print_note


class Pictures:
    """Writes reliability.png, confusion.png and confusion.csv (counts, a row a true class) into `folder`.

    The folder is made. Raises ConfigError where no folder can be made.
    """

    def __init__(self, folder: str | Path, classes: tuple[str, ...]) -> None:
        self.folder, self.classes = Path(folder), classes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"pictures {folder}: no folder can be made there: {error.strerror}", hint="name a folder, new or not"
            ) from None

    def draw(self, measured: Measured) -> None:
        """Write what can be drawn, and say what cannot."""
        if measured.calibration:
            draw_reliability(measured.calibration, self.folder / "reliability.png")
        else:
            print_note("no reliability.png: a probability is not finite")
        if measured.confusion is not None:
            draw_confusion(measured.confusion, self.classes, self.folder / "confusion.png")
            write_text(self.folder / "confusion.csv", format_confusion(measured.confusion, self.classes))
        else:
            print_note(f"no confusion matrix: {len(self.classes):,} classes, {CONFUSION_CLASSES:,} at most")


def format_confusion(counts: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """The matrix as CSV: a row for each true class, a column for each predicted one, their names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, counts.tolist(), strict=True))
    return text.getvalue()
