"""What a run keeps of its evaluation beyond the figures: confusion, calibration and the worst mistakes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from convscale.records import MistakenImage
from convscale.report.charts.evaluation import confusion_chart, reliability_chart
from convscale.report.pages.looking import map_pictures
from convscale.report.pages.pictures import KINDS, small_picture
from convscale.report.parts import Gallery, Missing, Part, Picture, Text
from convscale.runs import Run

MAPS_BYTES = 200_000  # of the maps of mistakes


def detail_parts(run: Run) -> Iterator[Part]:
    """Two charts, and the most confident mistakes as small pictures."""
    details = run.details()
    if details is None:
        return
    yield from filter(None, (confusion_chart(details), reliability_chart(details.calibration)))
    if details.mistakes:
        yield Text([f"The {len(details.mistakes)} most confident mistakes, the most confident first:"])
        yield from _mistakes(run, details.mistakes)
    elif details.mistakes is not None:
        yield Text(["There are no mistakes to show."])


def _mistakes(run: Run, mistakes: Sequence[MistakenImage]) -> Iterator[Part]:
    """Those with a map first, with it, then the others."""
    found = run.explained()
    maps = {} if found is None else {Path(one.image).name: one for one in found.images}
    with_maps = [maps[name] for one in mistakes if (name := Path(one.image).name) in maps]
    if shown := map_pictures(run, with_maps, MAPS_BYTES):
        yield Gallery(shown, wide=True)
    others = [one for one in mistakes if Path(one.image).name not in maps or not shown]
    if pictures := [picture for one in others if (picture := _picture(run, one)) is not None]:
        yield Gallery(pictures)


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
