"""design.json: the networks of a study and the keys of its trials, so that what has ended can be put together without
the images and the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convscale.files import read_json, write_json
from convscale.formats import FORMAT_VERSION, read_kept, require_version
from convscale.records import StudySpec, Unreachable
from convscale.records.files import MAX_RECORD_BYTES
from convscale.schema import to_table
from convscale.studies.designs import Design, Point, design
from convscale.trials.trial import Trial

FILE = "design.json"

Keys = Mapping[tuple[Point, int, int], str]  # (point, epochs, seed) -> the key of its trial


@dataclass(frozen=True, slots=True)
class _KeptTrial:
    """point: an index into the points."""

    key: str
    point: int
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class _KeptDesign:
    points: tuple[Point, ...]
    unreachable: tuple[Unreachable, ...]
    trials: tuple[_KeptTrial, ...]


def keep_design(folder: Path, designed: Design, trials: Mapping[tuple[Point, int, int], Trial]) -> None:
    """Write design.json."""
    index = {point: number for number, point in enumerate(designed.points)}
    kept = _KeptDesign(
        designed.points,
        designed.unreachable,
        tuple(_KeptTrial(trial.key, index[point], *rest) for (point, *rest), trial in trials.items()),
    )
    head = {"kind": "design", "format_version": FORMAT_VERSION}
    write_json(folder / FILE, head | to_table(kept, complete=True))


def read_design(folder: Path, spec: StudySpec) -> tuple[Design, Keys]:
    """The design of the study in `folder` and its trials' keys; made anew, from the images, for a folder without the
    file. Raises ConfigError where it is damaged, and without it as `design` does."""
    file = folder / FILE
    if not file.exists():
        designed = design(spec)
        return designed, {place: trial.key for place, trial in designed.trials().items()}
    table = read_json(file, MAX_RECORD_BYTES)
    if isinstance(table, dict):
        table.pop("kind", None)
        require_version(file, table.pop("format_version", 1))
    kept = read_kept(_KeptDesign, table, str(file))
    keys = {(kept.points[one.point], one.epochs, one.seed): one.key for one in kept.trials}
    return Design(spec, kept.points, kept.unreachable), keys
