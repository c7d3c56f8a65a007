"""progress.json: the progress of a run, for whoever looks at its folder during training."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from convscale.errors import ConfigError, RunError
from convscale.records import ProgressRecord, read_as, write_record
from convscale.runs.run import Run

PROGRESS = "progress.json"
SECONDS_BETWEEN_WRITES = 1.0


def read_progress(run: Run | Path | str) -> ProgressRecord | None:
    """The contents of a run's progress.json, None where it is missing or damaged: it is rewritten every second."""
    file = (run.path if isinstance(run, Run) else Path(run)) / PROGRESS
    try:
        return read_as(ProgressRecord, file)
    except (ConfigError, RunError):
        return None


class ProgressFile:
    """Writes the progress of a run, at most once per second.

    The file is replaced in one step but not flushed to the disk: a crash may lose it, and nobody needs it then. Where
    it cannot be written, `on_failure` is called, once, with the reason, and training continues without it.
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
            write_record(self._file, record, durable=False)
        except (OSError, ValueError) as error:
            if not self._failed:
                self._failed = True
                self._on_failure(f"{self._file}: cannot be written: {getattr(error, 'strerror', None) or error}")
