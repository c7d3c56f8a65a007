"""Making a run folder. A process first claims the folder, so that no two ever make a run in one."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from convscale.errors import RunError
from convscale.files import write_json, write_text, write_toml
from convscale.formats import FORMAT_VERSION
from convscale.machine import environment, launched_processes
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.records import DataRecord, Story, write_record
from convscale.runs.run import Run
from convscale.runs.settings import Settings
from convscale.schema import to_table

_LOCK = "lock"
_claims: set[Path] = set()  # folders that this process has claimed and not made a run in yet


def claim(path: Path) -> None:
    """Make `path` this process's: no other makes a run there from now on. It may be there already, if it is empty.

    The claim is the lock file, which one process alone can make. `create_run` makes the run, `release` gives it back;
    until then it may be claimed again. Raises RunError where the folder holds something or is another's, or cannot be
    made.
    """
    if path.absolute() in _claims:
        return
    try:
        require_free(path)
        path.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            raise _not_empty(path) from None
        _claims.add(path.absolute())
        with os.fdopen(handle, "w") as file:
            file.write(str(os.getpid()))
    except OSError as error:
        raise _cannot_write(path, error) from None


def claim_next(parent: Path, name: str) -> Path:
    """Claim the first of parent/name-1, name-2, ... that does not exist. Raises RunError where none can be made."""
    for index in itertools.count(1):
        path = parent / f"{name}-{index}"
        try:
            path.mkdir(parents=True)
            claim(path)
        except FileExistsError:
            continue
        except OSError as error:
            raise _cannot_write(path, error) from None
        except RunError:
            if (path / _LOCK).exists():  # of a process that was given this very name, and came between
                continue
            raise
        return path
    raise AssertionError("there is always another number")


@contextmanager
def claimed(output: Path | None, parent: Path, name: str) -> Iterator[Path]:
    """A folder for a run, `output` or the first free parent/NAME-N, claimed while entered.

    Of several processes that train together, each must come to the same name: there the first one claims it when it
    makes the run. Raises RunError as `claim` does.
    """
    if launched_processes() > 1:
        path = next_run_path(parent, name) if output is None else output
        require_free(path)
        yield path
        return
    if output is None:
        path = claim_next(parent, name)
    else:
        claim(path := output)
    try:
        yield path
    finally:
        release(path)


def release(path: Path) -> None:
    """Give a claim back, if no run was made of it; the folder goes, if it is empty."""
    if path.absolute() in _claims:
        _claims.discard(path.absolute())
        with suppress(OSError):
            (path / _LOCK).unlink()
            path.rmdir()


def create_run(
    path: Path,
    network: ConvNet,
    recipe: Recipe,
    data: DataRecord,
    settings: Settings,
    facts: dict[str, Any],
    excluded: Mapping[str, tuple[int, ...]],
    preprocessing: Preprocessing,
    *,
    story: Story | None = None,
    plan: Plan | None = None,
) -> Run:
    """Make a run folder and write what is known before training; `facts` (threads, device) join the environment.

    The folder is claimed, unless this process has done so. Raises RunError where it holds something already, or
    cannot be made.
    """
    claim(path)
    _claims.discard(path.absolute())
    try:
        write_toml(path / "network.toml", to_table(network, complete=True))
        write_toml(path / "recipe.toml", to_table(recipe, complete=True))
        write_toml(path / "preprocessing.toml", to_table(preprocessing, complete=True))
        write_json(path / "settings.json", to_table(settings, complete=True))
        write_record(path / "data.json", data)
        if excluded:
            write_json(path / "exclude.json", excluded)
        if story is not None:
            write_record(path / "story.json", story)
        if plan is not None:
            write_record(path / "plan.json", plan)
        write_text(path / "metrics.jsonl", "")
        # last: what has it is a run
        write_json(path / "environment.json", {"format_version": FORMAT_VERSION} | facts | environment())
    except BaseException as error:
        with suppress(OSError):
            Run(path).discard()  # leave the name free, whatever it was: a full disk, a signal
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from None
        raise
    return Run(path)


def require_writable(path: Path) -> None:
    """Raise RunError where no run folder can be made at `path`, before any work is done for it."""
    parent = path.absolute()
    try:
        require_free(path)
        while not parent.exists():
            parent = parent.parent
        Path(tempfile.mkdtemp(dir=parent)).rmdir()
    except OSError as error:
        raise RunError(
            f"{path}: the run cannot be written: {error.strerror}", hint="choose another folder with -o"
        ) from None


def require_free(path: Path) -> None:
    """Raise RunError where a folder holds something already: no run overwrites another."""
    if path.is_dir() and any(path.iterdir()) and path.absolute() not in _claims:
        raise _not_empty(path)


def next_run_path(parent: Path, name: str) -> Path:
    """The first of parent/name-1, name-2, ... that does not exist. `claim_next` makes it this process's too."""
    index = 1
    while (parent / f"{name}-{index}").exists():
        index += 1
    return parent / f"{name}-{index}"


def _not_empty(path: Path) -> RunError:
    ours = (path / "environment.json").exists() and not (path / "result.json").exists()
    hint = f"choose another folder with -o, or: convscale resume {path}" if ours else ""
    return RunError(f"{path}: the folder is not empty", hint=hint or "choose another folder with -o")


def _cannot_write(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: cannot be written: {error.strerror}", hint="choose another with -o")
