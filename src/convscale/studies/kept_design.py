"""design.json: the networks of a study and the numbers of its trials, so that what has ended can be put together
without the images and the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convscale.files import read_json, write_json
from convscale.formats import FORMAT_VERSION, read_kept, require_version
from convscale.records import StudySpec
from convscale.records.files import MAX_RECORD_BYTES
from convscale.schema import to_table
from convscale.studies.designs import Design, Point, design
from convscale.trials.folders import StudyFolder
from convscale.trials.trial import Trial

FILE = "design.json"

Trials = Mapping[tuple[Point, int, int], Trial]  # by point, epochs and seed
Numbers = Mapping[tuple[Point, int, int], int]  # (point, epochs, seed) -> the number of its trial in the folder


@dataclass(frozen=True, slots=True)
class _KeptTrial:
    """trial: its number in the folder. point: an index into the points."""

    trial: int
    point: int
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class _KeptDesign:
    design: Design
    trials: tuple[_KeptTrial, ...]


def keep_design(study: StudyFolder, designed: Design, trials: Trials) -> None:
    """Write design.json, and make folders for the trials that have none."""
    index = {point: number for number, point in enumerate(designed.points)}
    folders = study.folders_of(trials.values())
    kept = _KeptDesign(
        designed,
        tuple(_KeptTrial(folders[one.key].number, index[point], *rest) for (point, *rest), one in trials.items()),
    )
    head = {"kind": "design", "format_version": FORMAT_VERSION}
    write_json(study.path / FILE, head | to_table(kept, complete=True))


def read_design(study: StudyFolder, spec: StudySpec) -> tuple[Design, Numbers]:
    """The design of a study and its trials' numbers; made anew, from the images, for a folder without the file. Raises
    ConfigError where it is damaged, and without it as `design` does."""
    file = study.path / FILE
    if not file.exists():
        designed, known = design(spec, study.path), {folder.read().key: folder.number for folder in study.trials()}
        found = {place: known.get(one.key, known.get(one.key_by_source)) for place, one in designed.trials().items()}
        return designed, {place: number for place, number in found.items() if number is not None}
    table = read_json(file, MAX_RECORD_BYTES)
    if isinstance(table, dict):
        table.pop("kind", None)
        require_version(file, table.pop("format_version", 1))
    kept = read_kept(_KeptDesign, table, str(file))
    points = kept.design.points
    return kept.design, {(points[one.point], one.epochs, one.seed): one.trial for one in kept.trials}
