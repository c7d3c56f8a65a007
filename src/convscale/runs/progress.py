"""progress.json: how far a run is, for whoever looks at its folder while it is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convscale.errors import ConfigError
from convscale.files import read_json, write_json
from convscale.runs.run import Run
from convscale.schema import from_table, to_table

PROGRESS = "progress.json"
SECONDS_BETWEEN_WRITES = 1.0

Doing = Literal["training", "evaluating", "features", "searching", "interrupted", "failed", "finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressRecord:
    """How far a run is. step, total_steps: of the whole training; images while features are computed. epoch: the one
    that is trained or evaluated, from 1, of `epochs`. seconds_left: by the pace so far, None before there is one.
    images_per_second: of training, in this epoch. updated: seconds since 1970. pid: of the process that writes.
    state: what it does, or how it was left; a process that was killed leaves what it did. reason: of a failure."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    seconds_left: float | None = None
    images_per_second: float | None = None
    updated: float
    pid: int
    state: Doing
    reason: str = ""


def read_progress(run: Run | Path | str) -> ProgressRecord | None:
    """What a run's progress.json says, None where there is none or it is damaged: it is rewritten every second."""
    file = (run.path if isinstance(run, Run) else Path(run)) / PROGRESS
    try:
        return from_table(ProgressRecord, read_json(file), str(file))
    except ConfigError:
        return None


class ProgressFile:
    """Writes the progress of a run, at most once a second.

    The file is replaced in one step but not flushed to the disk: a crash may lose it, and nobody needs it then. Where
    it cannot be written, `on_failure` is called, once, with the reason, and training goes on without it.
    """

    def __init__(self, run: Path, on_failure: Callable[[str], None]) -> None:
        self._file, self._on_failure = run / PROGRESS, on_failure
        self._failed = False
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._next

    def write(self, record: ProgressRecord) -> None:
        """Write it now, due or not."""
        self._next = time.monotonic() + SECONDS_BETWEEN_WRITES
        try:
            write_json(self._file, to_table(record), durable=False)
        except (OSError, ValueError) as error:
            if not self._failed:
                self._failed = True
                self._on_failure(f"{self._file}: cannot be written: {getattr(error, 'strerror', None) or error}")
