"""Explanations as files: one picture an image, and a record of all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from convscale.errors import ConfigError, RunError
from convscale.evaluation.inputs import GivenImage, given_images
from convscale.explanation.boxes import Boxes
from convscale.explanation.explained import Explanation
from convscale.explanation.explaining import Unreadable, explained, opened
from convscale.explanation.measures import Measures
from convscale.explanation.methods import method_for
from convscale.progress import Progress
from convscale.records import ExplainedImage, Explanations, read_as, write_record
from convscale.runs import Run

RECORD = "explanations.json"
_OTHER = re.compile(r"[^\w.-]+")
_LONGEST = 60  # characters of an image's name in that of its picture


def folder_for(run_or_file: Path) -> Path:
    """Where explanations are kept: in the run, or below explanations/ for a weights file."""
    return Run(run_or_file).explanations if run_or_file.is_dir() else Path("explanations") / run_or_file.stem


def keep_explanations(
    run_or_file: str | Path,
    images: GivenImage | Sequence[GivenImage],
    folder: Path | None = None,
    *,
    method: str | None = None,
    class_name: str | None = None,
    boxes: Boxes | None = None,
    faithful: bool = False,
    batch: int = 16,
    quiet: bool = False,
) -> Explanations:
    """Explain images, and write a picture of each and explanations.json into `folder`, by default the run's own.

    What an earlier call wrote there is replaced. Images that cannot be read are left out and named. boxes: by the names
    of files, to measure the maps against. faithful: measure them against controls too, which takes some 150 times as
    long. Raises as `explain` does for all else, ConfigError where the folder cannot be
    made, DataError where boxes are given and no image has one.
    """
    source = Path(run_or_file)
    model = opened(source)
    given, notes = given_images(images)
    name = method_for(method, model.network)
    stream = explained(model, given, method=name, class_name=class_name, batch=batch)
    measures = Measures(model, name, boxes, faithful, given)
    place = folder_for(source) if folder is None else folder
    before = _pictures_before(place)
    make_folder(place)
    progress = Progress(len(given), quiet=quiet)
    for note in notes:
        progress.note(note)
    kept: list[ExplainedImage] = []
    unreadable: list[tuple[str, str]] = []
    for one in stream:
        if isinstance(one, Unreadable):
            unreadable.append((one.image, one.reason))
        else:
            picture = _picture_name(len(kept) + 1, one)
            one.draw(place / picture)
            measures.add(one)
            kept.append(one.record(picture))
        progress.step("explaining")
    record = Explanations(str(source), name, tuple(kept), tuple(unreadable), *measures.results())
    write_record(place / RECORD, record)
    for picture in before - {image.picture for image in kept}:
        (place / picture).unlink(missing_ok=True)
    return record


def _picture_name(number: int, one: Explanation) -> str:
    return f"{number:04}-{_OTHER.sub('_', Path(one.image).stem)[:_LONGEST]}.webp"


def _pictures_before(folder: Path) -> set[str]:
    """The pictures that an earlier record in the folder names, those outside of it aside."""
    with suppress(ConfigError, RunError):
        if (folder / RECORD).exists():
            earlier = read_as(Explanations, folder / RECORD)
            return {one.picture for one in earlier.images if one.picture and Path(one.picture).name == one.picture}
    return set()


def make_folder(folder: Path) -> None:
    """Make a folder for results. Raises ConfigError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: no folder can be made there: {error.strerror}", hint="-o DIR: a new or existing folder"
        ) from None
