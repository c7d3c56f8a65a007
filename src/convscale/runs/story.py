"""Helpers for stories: the time, and a call as it would be typed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convscale.planning import Budget


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
