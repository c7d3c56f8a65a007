"""What a run keeps of its evaluation beyond the figures: confusion, calibration and the worst mistakes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from convscale.records import MistakenImage
from convscale.report.charts.evaluation import confusion_chart, reliability_chart
from convscale.report.parts import Gallery, Missing, Part, Picture, Text
from convscale.runs import Run

MAX_PICTURE_BYTES = 40_000  # larger ones are not this version's small pictures
KINDS = {".jpg": "jpeg", ".png": "png", ".webp": "webp"}


def detail_parts(run: Run) -> Iterator[Part]:
    """Two charts, and the most confident mistakes as small pictures."""
    details = run.details()
    if details is None:
        return
    yield from filter(None, (confusion_chart(details), reliability_chart(details.calibration)))
    if details.mistakes:
        yield Text([f"The {len(details.mistakes)} most confident mistakes, the most confident first:"])
        yield Gallery([picture for one in details.mistakes if (picture := _picture(run, one)) is not None])
    elif details.mistakes is not None:
        yield Text(["There are no mistakes to show."])


def missing_details(run: Run) -> Iterator[Missing]:
    """What `eval --keep` adds."""
    details, data = run.details(), run.data()
    source = "DATA" if data is None else shlex.quote(data.source)
    command = f"convscale eval {shlex.quote(str(run.path))} --data {source} --keep"
    if details is None:
        yield Missing("confusion matrix, reliability and worst mistakes", command)
    elif details.mistakes is None:
        yield Missing("worst mistakes", command)


def _picture(run: Run, mistake: MistakenImage) -> Picture | None:
    data = small_picture(run.path, mistake.picture)
    if data is None:
        return None
    name = Path(mistake.image).name
    caption = (f"true: {mistake.true}", f"predicted: {mistake.predicted} {mistake.probability:.2f}", name)
    return Picture(
        data, KINDS[Path(mistake.picture).suffix], f"{name}: {mistake.true} taken for {mistake.predicted}", caption
    )


def small_picture(folder: Path, name: str) -> bytes | None:
    """A small picture that a record names, None where it is gone, too large, or not in the record's folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix not in KINDS or not path.is_file():
        return None
    return path.read_bytes() if path.stat().st_size <= MAX_PICTURE_BYTES else None
