"""What an evaluation leaves in a run for its report: details.json, and small pictures of the worst mistakes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convscale.evaluation.tally import Measured
from convscale.figures import Mistake
from convscale.figures.training import shown_channels
from convscale.files import write_atomic
from convscale.records import ConfusionCell, EvaluationDetails, MistakenImage
from convscale.runs import Run

SIDE = 160  # pixels of a picture at most
WHOLE = 64  # up to here it is stored without loss
FOLDER = "pictures/mistakes"


def write_details(run: Run, measured: Measured, mistakes: Sequence[Mistake] | None = None) -> None:
    """Write details.json; with `mistakes` also a picture of each, else those of an evaluation before are removed."""
    shutil.rmtree(run.path / FOLDER, ignore_errors=True)
    kept = None
    if mistakes is not None:
        kept = tuple(_kept(run.path, number, mistake) for number, mistake in enumerate(mistakes, start=1))
    cells = None
    if (counts := measured.confusion) is not None:
        places = zip(*(axis.tolist() for axis in counts.nonzero()), strict=True)
        cells = tuple(ConfusionCell(row, column, int(counts[row, column])) for row, column in places)
    classes = tuple(row.name for row in measured.evaluation.per_class)
    run.write_details(EvaluationDetails(classes, cells, measured.calibration, kept))


def _kept(folder: Path, number: int, mistake: Mistake) -> MistakenImage:
    from PIL import Image

    image = Image.fromarray(shown_channels(mistake.pixels)).convert("RGB")
    whole = max(image.size) <= WHOLE
    image.thumbnail((SIDE, SIDE))
    options: dict[str, Any] = {"format": "PNG"} if whole else {"format": "JPEG", "quality": 80}
    name = f"{FOLDER}/{number:02d}.{'png' if whole else 'jpg'}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / name, lambda file: image.save(file, **options), durable=False)
    return MistakenImage(mistake.name, mistake.true, mistake.predicted, mistake.probability, name)
