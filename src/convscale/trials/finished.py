"""Files of finished trials, with which results travel from one machine to another: JSON, one trial per line.

A line holds all that its key is made of, so that the key can be checked where it is read. Lines are sorted by seed,
epochs and key: a trial that is added later adds a line and moves no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError
from convscale.files import parse_json, read_text, write_text
from convscale.formats import FORMAT_VERSION, read_kept, require_version
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.records import DataChoice, TrialResult
from convscale.records.files import MAX_RECORD_BYTES
from convscale.schema import to_table
from convscale.trials.trial import Trial

KIND = "finished trial"
_HEAD = f'{{"kind": "{KIND}"'  # how a line begins


@dataclass(frozen=True, slots=True)
class Line:
    """Where a trial was read; lines count from 1."""

    file: Path
    number: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTrial:
    """A trial and its result. images: their fingerprint, "" of a trial from before keys had it."""

    key: str
    images: str
    seed: int
    result: TrialResult
    network: ConvNet
    recipe: Recipe
    data: DataChoice

    @classmethod
    def of(cls, trial: Trial, result: TrialResult) -> FinishedTrial:
        """A trial with its result. Where its images lie is left out, unless its key is from before and needs that."""
        data = replace(trial.data, source=_name_of(trial.data.source)) if trial.images else trial.data
        return cls(
            key=trial.key, images=trial.images, seed=trial.seed, result=result, network=trial.network,
            recipe=trial.recipe, data=data,
        )  # fmt: skip

    @property
    def trial(self) -> Trial:
        """What was trained."""
        return Trial(network=self.network, recipe=self.recipe, data=self.data, seed=self.seed, images=self.images)

    @property
    def place(self) -> tuple[int, int, str]:
        """Where its line stands in a file."""
        return self.seed, self.recipe.epochs, self.key

    def __str__(self) -> str:
        return f"{self.network.name}, {self.recipe.epochs} epochs, seed {self.seed} (trial {self.key})"

    def line(self) -> str:
        """As a file holds it."""
        table = {"kind": KIND, "format_version": FORMAT_VERSION} | to_table(self, complete=True)
        return json.dumps(table, allow_nan=False) + "\n"


def _name_of(source: str) -> str:
    """What images are called, wherever they lie: the folder's own name, or that of a named set."""
    if Path(source).is_absolute():
        return Path(source).name
    return source if source.startswith(("hf:", "hf-stream:")) else source.partition("@")[0]


def read_finished(files: Sequence[str | Path]) -> dict[str, tuple[FinishedTrial, Line]]:
    """The trials in files of finished trials and where each was found, by key.

    Raises ConfigError for a file that is not one, or was cut short or changed: a key that is not the trial's, results
    out of range; for two results of one trial that differ; RunError for a file of a newer version.
    """
    found: dict[str, tuple[FinishedTrial, Line]] = {}
    for file in map(Path, files):
        for one, where in _lines(file):
            other, before = found.setdefault(one.key, (one, where))
            if other.result != one.result:
                raise ConfigError(
                    f"{where}: {one} has another result in {before}: accuracy {one.result.accuracy:.4f}, there "
                    f"{other.result.accuracy:.4f}",
                    hint="keep the line of one of them",
                )
    return found


def write_finished(file: Path, trials: Mapping[str, FinishedTrial]) -> int:
    """Write `trials`, by key, beside those that `file` holds already; the number of lines.

    Raises as `read_finished` does, also where the file's result of a trial is not the one given.
    """
    found = {key: one for key, (one, _) in read_finished([file] if file.exists() else []).items()}
    for key in sorted(found.keys() & trials.keys()):
        if found[key].result != trials[key].result:
            raise ConfigError(
                f"{file}: {found[key]} has another result there: accuracy {found[key].result.accuracy:.4f}, not "
                f"{trials[key].result.accuracy:.4f}",
                hint="export to a new file, or remove this one",
            )
    whole = sorted((found | dict(trials)).values(), key=lambda one: one.place)
    write_text(file, "".join(one.line() for one in whole))
    return len(whole)


def _lines(file: Path) -> Iterator[tuple[FinishedTrial, Line]]:
    text = read_text(file, MAX_RECORD_BYTES)
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = Line(file, number)
            yield _read(line, where, last=number == len(lines)), where


def _read(line: str, where: Line, *, last: bool) -> FinishedTrial:
    """last: nothing follows, not even the end of the line."""
    try:
        table = parse_json(line, str(where))
    except ConfigError:
        if last and line.startswith(_HEAD[: len(line)]):
            raise ConfigError(f"{where}: cut short", hint="copy the whole file, or remove this line") from None
        raise _foreign(where) from None
    if not isinstance(table, dict) or table.pop("kind", None) != KIND:
        raise _foreign(where)
    require_version(where.file, table.pop("format_version", 0))
    one = read_kept(FinishedTrial, table, str(where))
    if one.trial.key != one.key:
        raise ConfigError(
            f"{where}: its key is {one.key!r}, but its network, recipe, images and seed give {one.trial.key!r}",
            hint="a line was changed: export the records again",
        )
    _require_sound(one.result, f"{where}: {one}")
    return one


def _foreign(where: Line) -> ConfigError:
    return ConfigError(f"{where}: not a finished trial", hint="a file from: convscale study export DIR --records FILE")


def _require_sound(result: TrialResult, where: str) -> None:
    """Raise ConfigError for values that no training has."""
    low, high = result.interval95
    sound: dict[str, tuple[Any, bool]] = {
        "accuracy": (result.accuracy, 0 <= result.accuracy <= 1),
        "interval95": (result.interval95, low <= result.accuracy <= high),
        "steps": (result.steps, result.steps >= 0),
        "images": (result.images, result.images >= 0),
        "device_seconds": (result.device_seconds, result.device_seconds >= 0),
        "learning_rate": (result.learning_rate, result.learning_rate is None or result.learning_rate > 0),
    }
    for name, (value, right) in sound.items():
        if not right:
            raise ConfigError(f"{where}: {name} {value} cannot be", hint="export the records again")
