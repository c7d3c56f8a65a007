"""How a run came about: the command that was typed or the call that was made, and what was decided, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convscale.planning import Budget


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was chosen for a run. what: baseline, recipe, resolution, batch, ... why: in words, empty where
    it was simply asked for."""

    what: str
    choice: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """How a run came about. command: as it was typed, or the Python call; arguments alone, nothing of the environment.
    started: the time, ISO 8601 in UTC. notes: what was said of the data."""

    command: str = ""
    started: str = ""
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()

    def decision(self, what: str) -> Decision | None:
        """What was chosen for `what`, None where the story does not say."""
        return next((one for one in self.decisions if one.what == what), None)


def utc_now() -> str:
    """The time as a story has it: 2026-01-31T12:00:00+00:00."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def format_call(function: str, *arguments: Any, **named: Any) -> str:
    """A Python call as it would be typed, None left out. What is too long to be typed is `...`: the folder holds it."""
    words = [_format(value) for value in arguments]
    words += [f"{name}={_format(value)}" for name, value in named.items() if value is not None and value != ()]
    return f"{function}({', '.join(words)})"


def _format(value: Any) -> str:
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, Budget):
        return format_call("convscale.Budget", **value.limits())
    if isinstance(value, tuple | list):
        return repr(list(value)) if all(isinstance(item, str | int | float) for item in value) else "..."
    return repr(value) if isinstance(value, str | int | float) else "..."
