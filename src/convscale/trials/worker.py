"""A worker process of the local executor: takes attempts from a pipe and reports how they ended.

It ends when the coordinator does: at once when idle; when busy, it asks its training to save and exits within seconds.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from convscale.errors import TrainingStopped
from convscale.trials.trial import Trial, TrialResult, Work

GRACE_SECONDS = 3.0  # between asking an orphan to save and ending it

Answer = tuple[Literal["finished", "failed", "lost"], TrialResult | None, str]


def carry_out(work: Work, trial: Trial, run: Path) -> Answer:
    """Carry out an attempt and return its result, or why there is none."""
    try:
        return "finished", work(trial, run), ""
    except TrainingStopped as error:
        return "lost", None, str(error)
    except Exception as error:
        return "failed", None, f"{type(error).__name__}: {error}"


def main(file: int) -> None:
    """Serve the pipe `file` until its other end is closed."""
    connection = Connection(file)
    sys.path[:] = connection.recv()
    work: Work = connection.recv()
    todo: queue.SimpleQueue[tuple[Trial, Path]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, todo), daemon=True).start()
    while True:
        trial, run = todo.get()
        with suppress(OSError), run.with_name(f"{run.name}.log").open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        answer = carry_out(work, trial, run)
        connection.send(answer)
        if answer[0] == "lost":
            return  # a signal asked for it


def _receive(connection: Connection, todo: queue.SimpleQueue[tuple[Trial, Path]]) -> None:
    with suppress(EOFError, OSError):
        while True:
            todo.put(connection.recv())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)  # this process and whatever it started: they have their own session


if __name__ == "__main__":
    main(int(sys.argv[1]))
