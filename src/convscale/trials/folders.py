"""The folder of a study: what its coordinator and its workers leave behind.

settings.json            what the study is; another study is refused here
precision.json           what trials on CPUs compute in, where their recipes leave that open
study.json               its name in the store, which stays when the folder moves
study.sqlite             Optuna's store, rebuilt from the records if damaged
trials/0000/trial.toml   network, recipe, data, seed
trials/0000/attempt-1/   the run folder of the first attempt; attempt-1.log is its worker's output,
                         attempt-1.started marks its number as taken, whether or not a run was ever made;
                         attempt-2.anew says why it did not resume what the first had saved
trials/0000/record.json  how the trial ended, written once: this is what counts
lock                     held by the process that owns the study
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from convscale.errors import ConfigError, RunError
from convscale.files import read_json, read_toml, write_json, write_text, write_toml
from convscale.formats import FORMAT_VERSION, read_kept, require_version
from convscale.locks import LockedError, is_locked, lock
from convscale.records import read_as, write_record
from convscale.schema import to_table
from convscale.trials.trial import Trial, TrialRecord

T = TypeVar("T")

_KINDS = {"study": "study", "coefficients": "search for coefficients", "family": "training of a family"}

_held: dict[Path, int] = {}


@dataclass(frozen=True, slots=True)
class TrialFolder:
    """The folder of one trial, `trials/NNNN`."""

    path: Path

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return int(self.path.name)

    def read(self) -> Trial:
        """What is trained. Raises ConfigError where trial.toml is damaged."""
        file = self.path / "trial.toml"
        return read_kept(Trial, read_toml(file), str(file))

    def record(self) -> TrialRecord | None:
        """How the trial ended; None where it has not, or where the file is damaged: it is then moved aside, and the
        next attempt resumes from what the last one left."""
        file = self.path / "record.json"
        if not file.exists():
            return None
        try:
            return read_as(TrialRecord, file)
        except ConfigError:
            move_aside(file)
            return None

    def write_record(self, record: TrialRecord) -> None:
        """Write record.json and delete the attempts that it did not come from."""
        write_record(self.path / "record.json", record)
        for number in self.attempts():
            shutil.rmtree(self.path / f"attempt-{number}.copy", ignore_errors=True)
            if f"attempt-{number}" != Path(record.run).name:
                shutil.rmtree(self.attempt(number), ignore_errors=True)

    def attempt(self, number: int) -> Path:
        """The run folder of an attempt."""
        return self.path / f"attempt-{number}"

    def attempts(self) -> list[int]:
        """The numbers of the attempts that were started, in order. A worker makes its run folder only once it has
        opened the data, so any of them may not have one yet, or may never have one."""
        found = (re.fullmatch(r"attempt-(\d+)(\.\w+)?", path.name) for path in self.path.iterdir())
        return sorted({int(match[1]) for match in found if match})

    def newest_run(self) -> Path | None:
        """The run folder of the newest attempt that made one, complete enough to resume from."""
        runs = [self.attempt(number) for number in reversed(self.attempts())]
        return next((run for run in runs if (run / "environment.json").exists()), None)

    def begin_attempt(self) -> int:
        """Prepare another attempt and return its number, which is never used twice. Its folder begins as a copy of the
        newest run, so that whatever still writes there, on this machine or another, writes where nobody reads."""
        before = self.attempts()
        number = before[-1] + 1 if before else 1
        write_text(self.path / f"attempt-{number}.started", "")  # first: it holds even if we are killed on the way
        if (newest := self.newest_run()) is not None:
            copy = self.path / f"attempt-{number}.copy"
            _copy_run(newest, copy)
            copy.rename(self.attempt(number))  # complete at once: a partial copy is not a run to resume from
        return number


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """A study's folder. Only the process that holds it writes into it, workers only into their attempt's folder,
    and one of them precision.json."""

    path: Path

    @property
    def database(self) -> Path:
        """Optuna's store, unless another was requested."""
        return self.path / "study.sqlite"

    def name(self) -> str:
        """The study's name in the store: random, chosen once, and kept when the folder moves."""
        file = self.path / "study.json"
        if not file.exists():
            write_json(file, {"name": f"convscale-{self.path.absolute().name}-{secrets.token_hex(4)}"})
        return str(read_json(file)["name"])

    def trials(self) -> list[TrialFolder]:
        """The trials, by number."""
        folder = self.path / "trials"
        found = folder.iterdir() if folder.is_dir() else ()
        return [TrialFolder(path) for path in sorted(found) if path.name.isdigit()]

    def trial(self, number: int) -> TrialFolder:
        """The folder of a trial."""
        return TrialFolder(self.path / "trials" / f"{number:04}")

    def by_key(self) -> dict[str, TrialFolder]:
        """The trials by key. One whose trial.toml is damaged is moved aside: it will be a new trial."""
        known = {}
        for folder in self.trials():
            try:
                known[folder.read().key] = folder
            except ConfigError:
                move_aside(folder.path)
        return known

    def folders_of(self, trials: Iterable[Trial]) -> dict[str, TrialFolder]:
        """The folder of each trial by key, in their order; those that have none, by an older key either, get one."""
        known = self.by_key()
        distinct = {trial.key: trial for trial in trials}
        return {
            key: known.get(key) or known.get(trial.key_by_source) or self.add(trial) for key, trial in distinct.items()
        }

    def add(self, trial: Trial) -> TrialFolder:
        """The folder of a new trial, under an unused number."""
        names = [path.name.split(".")[0] for path in (self.path / "trials").glob("*")]
        number = max((int(name) for name in names if name.isdigit()), default=-1) + 1
        folder = self.trial(number)
        folder.path.mkdir(parents=True)
        write_toml(folder.path / "trial.toml", to_table(trial, complete=True))
        return folder


@contextmanager
def hold_study(folder: Path) -> Iterator[StudyFolder]:
    """Hold a study within the context, so that no second process runs it; reentrant within one process.

    The hold ends with the process, however that ends. Raises RunError where another process has it, or where the folder
    cannot be written.
    """
    path = folder.resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = None if _held.get(path) else lock(path / "lock")
    except LockedError as error:
        raise RunError(
            f"{path}: process {error.owner} is running this study",
            hint=f"see its progress with: convscale study status {path}",
        ) from None
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}", hint="choose another with -o") from None
    _held[path] = _held.get(path, 0) + 1
    try:
        yield StudyFolder(path)
    finally:
        _held[path] -= 1
        if file is not None:
            os.close(file)


def is_held(folder: Path) -> bool:
    """Whether a process, this one too, owns the study."""
    path = folder.resolve()
    return bool(_held.get(path)) or is_locked(path / "lock")


def read_settings(folder: Path, kind: str, form: type[T], options: Mapping[str, Any] | None = None) -> T:
    """The settings of the study of this `kind` in `folder`; `options` supplies what its table of that name leaves out.
    Raises RunError where there is none, ConfigError where settings.json is damaged."""
    file = folder / "settings.json"
    table = read_json(file) if file.exists() else {}
    if not isinstance(table, dict) or table.pop("kind", None) != kind:
        raise RunError(f"{folder}: no {_KINDS[kind]} here")
    require_version(file, table.pop("format_version", 1))
    if options is not None and isinstance(given := table.get("options", {}), dict):
        table["options"] = dict(options) | given
    return read_kept(form, table, str(file))


def require_same_settings(folder: Path, kind: str, settings: T, read: Callable[[Path], T]) -> None:
    """Write settings.json the first time; later refuse settings that differ from those that `read` finds in the folder.
    Raises RunError with what differs."""
    file = folder / "settings.json"
    asked = _settings_table(kind, settings)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, asked)
        return
    before = read_json(file)
    if not isinstance(before, dict):
        raise RunError(f"{file}: not the settings of a study", hint="choose another folder with -o")
    if before.get("kind") == kind:
        before = _settings_table(kind, read(folder))  # of any format version
    if differing := list(_differences(before, asked)):
        raise RunError(
            f"{folder} holds a study with other settings: {'; '.join(differing[:8])}",
            hint=f"choose another folder with -o, or resume it: convscale study resume {folder}",
        )


def _settings_table(kind: str, settings: object) -> dict[str, Any]:
    table: dict[str, Any] = to_table(settings, complete=True)
    return {"kind": kind, "format_version": FORMAT_VERSION} | table


def to_plain(value: Any) -> Any:
    """As JSON returns it: tuples become lists."""
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _differences(before: Any, asked: Any, where: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(asked, dict):
        for key in sorted(before.keys() | asked.keys()):
            yield from _differences(before.get(key), asked.get(key), f"{where}.{key}" if where else key)
    elif before != asked:
        yield f"{where} was {_short(before)}, is now {_short(asked)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def move_aside(path: Path) -> Path:
    """Rename a damaged file to the first free NAME.damaged-N and return that path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _copy_run(source: Path, target: Path) -> None:
    """Copy a run folder that something may still be writing to: checkpoints first, as links (they are never written
    twice), result.json last, so that it never comes without what it stands for."""
    files = [path for path in source.rglob("*") if path.is_file() and path.name != "lock"]
    order = {"checkpoints": 0, "result.json": 2}
    for path in sorted(files, key=lambda path: order.get(path.relative_to(source).parts[0], 1)):
        part = path.relative_to(source)
        copy = target / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            if part.parts[0] == "checkpoints" or path.suffix == ".safetensors":
                _link(path, copy)
            else:
                shutil.copyfile(path, copy)
        except FileNotFoundError:
            continue  # removed meanwhile in favour of a newer checkpoint, whose steps the next attempt repeats


def _link(path: Path, copy: Path) -> None:
    try:
        copy.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copyfile(path, copy)
