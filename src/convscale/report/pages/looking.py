"""What a run's network looks at: the maps that `convscale explain` kept in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from convscale.records import ExplainedImage, Explanations
from convscale.report.explanations import box_table, explanation_table, faithful_table, lost
from convscale.report.pages.pictures import small_picture
from convscale.report.parts import Folded, Gallery, Missing, Part, Picture, Text
from convscale.runs import Run

ALL_PICTURES_BYTES = 550_000  # of a run: with what else there is, a report stays below a megabyte


def looking_parts(run: Run) -> Iterator[Part]:
    """The pictures as far as there is room for them, what was measured of the maps, and a table of all."""
    found = run.explained()
    if found is None:
        return
    pictures = map_pictures(run, found.images, ALL_PICTURES_BYTES)
    yield Text([f"Class activation maps by {found.method}: the image, the map, and the map on the image."])
    if pictures:
        yield Gallery(pictures, wide=True)
    if len(pictures) < len(found.images):
        yield Text(
            [f"{len(found.images) - len(pictures):,} more are in `{run.explanations}`: there is no room for them here."]
        )
    yield Folded(f"All {len(found.images):,} explained images", explanation_table(found))
    yield from _measured(found)


def _measured(found: Explanations) -> Iterator[Part]:
    """Maps against boxes and controls, and where they are no better than these."""
    if found.boxes is not None:
        yield box_table(found.boxes)
        yield Text([f"- {line}" for line in lost(found.boxes.differences)])
    if found.faithful is not None:
        yield faithful_table(found.faithful)
        yield Text([f"- {line}" for line in lost(found.faithful.differences)])


def map_pictures(run: Run, images: Sequence[ExplainedImage], room: int) -> list[Picture]:
    """The pictures of `images` that are there, as long as their bytes fit into `room`."""
    found = []
    for one in images:
        data = None if one.picture is None else small_picture(run.explanations, one.picture)
        if data is None or one.picture is None:
            continue
        room -= len(data)
        if room < 0:
            break
        name, seen = Path(one.image).name, f"{one.class_name} {one.probability:.2f}"
        alt = f"{name}: image, map for {one.class_name}, and map on the image"
        found.append(Picture(data, Path(one.picture).suffix[1:].replace("jpg", "jpeg"), alt, (name, f"map for {seen}")))
    return found


def missing_maps(run: Run) -> Iterator[Missing]:
    """What `explain` adds."""
    if run.explained() is None:
        yield Missing("what the network looks at", f"convscale explain {shlex.quote(str(run.path))} IMAGE...")
