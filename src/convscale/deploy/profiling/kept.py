"""Where profiles are kept, and which of them is meant. No PyTorch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from convscale.deploy.environment import environment_here
from convscale.errors import ConfigError, ConvscaleError
from convscale.machine import cache_folder
from convscale.progress import print_note
from convscale.records import Environment, Profile
from convscale.records.files import read_as
from convscale.units import format_number


def profiles_folder() -> Path:
    """The user's profiles."""
    return cache_folder() / "profiles"


def kept_path(engine: str, dtype: str, threads: int) -> Path:
    """The file of the newest profile of this machine."""
    here = environment_here()
    words = f"{here.system} {here.machine} {here.processor}"
    digest = hashlib.sha256(words.encode()).hexdigest()[:8]  # a home folder may be that of several machines
    return profiles_folder() / f"{engine}-{dtype}-{threads}-{digest}.json"


def find_profile(
    file: Path | None, engine: str | None = None, threads: int | None = None, *, other_machine: bool = False
) -> Profile:
    """The profile in `file`, or without one the newest kept of this machine, with this engine and threads where they
    are given, else any engine and one thread.

    Raises ConfigError, saying what differs, for a file of something else; `other_machine` allows that of another
    machine.
    """
    here = environment_here()
    if file is None:
        return _newest(here, engine, threads or 1)
    profile = read_as(Profile, file)
    asked = (("engine", profile.engine, engine), ("threads", profile.threads, threads))
    differing = [f"{name} {has}, asked for {want}" for name, has, want in asked if want is not None and has != want]
    if differing:
        raise ConfigError(f"{file}: a profile of something else: {'; '.join(differing)}", hint=_how_to(engine, threads))
    if not other_machine and (elsewhere := profile.differences(here)):
        raise ConfigError(
            f"{file}: a profile of another machine: {'; '.join(elsewhere)}",
            hint=f"{_how_to(engine, threads)}; or plan for that machine with --other-machine",
        )
    return profile


def _newest(here: Environment, engine: str | None, threads: int) -> Profile:
    """The newest kept one of this machine. Raises ConfigError where there is none."""
    found = [
        one
        for one in _all_kept()
        if one.threads == threads and engine in (None, one.engine) and not one.differences(here)
    ]
    if not found:
        what = f"of {engine}" if engine else "of any engine"
        raise ConfigError(
            f"no profile of this machine, {what} on {format_number(threads, 'thread')}, is in {profiles_folder()}",
            hint=f"{_how_to(engine, threads)}, or name one with --profile",
        )
    return max(found, key=lambda one: one.made)


def _all_kept() -> list[Profile]:
    profiles = []
    for path in sorted(profiles_folder().glob("*.json")):
        try:
            profiles.append(read_as(Profile, path))
        except ConvscaleError as error:
            print_note(f"not used: {error.message}")
    return profiles


def _how_to(engine: str | None, threads: int | None) -> str:
    options = f" --engine {engine}" if engine else ""
    return f"make one: convscale profile{options}{f' --threads {threads}' if threads not in (None, 1) else ''}"
