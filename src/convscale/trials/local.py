"""Trials in worker processes on this machine."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from convscale.errors import ConfigError
from convscale.machine import gpus, usable_cores
from convscale.trials.executor import Attempt, Ended
from convscale.trials.trial import Work
from convscale.trials.worker import Answer

LOOK_EVERY_SECONDS = 0.5  # whether a worker still lives


class _Worker:
    """A process, the pipe to it, and what it is working on."""

    def __init__(self, work: Work, threads: int, gpu: str | None) -> None:
        ours, theirs = socket.socketpair()
        self.gpu = gpu
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "0",
        }  # fmt: skip
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "convscale.trials.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL, env=environment, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        self.pipe = Connection(ours.detach())
        self.attempt: Attempt | None = None
        self.pipe.send([path for path in sys.path if path] + [str(Path.cwd())])
        self.pipe.send(work)

    def start(self, attempt: Attempt) -> None:
        self.attempt = attempt
        with suppress(OSError):  # it died while idle: `answer` reports that
            self.pipe.send((attempt.trial, attempt.run))

    def answer(self) -> Ended | None:
        """How its attempt ended, None while it runs."""
        attempt = self.attempt
        assert attempt is not None, "an idle worker has nothing to answer"
        try:
            if self.pipe.poll():
                answer: Answer = self.pipe.recv()
                self.attempt = None
                return Ended(attempt, *answer)
        except (EOFError, OSError, pickle.UnpicklingError):
            self.process.wait()
        if self.process.poll() is None:
            return None
        return Ended(attempt, "lost", reason=_cause(self.process.returncode))

    def ask_to_stop(self) -> None:
        """Have it save and exit; an idle one exits at once."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Leave nothing of it behind."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.pipe.close()


class LocalExecutor:
    """Attempts in worker processes, each with `threads` threads; by default one per GPU, or without one as many as the
    cores allow, of which a container may grant fewer than the machine has. Workers are spread over the GPUs.

    work: what a worker does, a function of a module; `train_trial` by default. Raises ConfigError for counts below 1
    and for a function that cannot be sent to a worker.
    """

    def __init__(self, workers: int | None = None, threads: int = 1, work: Work | None = None) -> None:
        if threads < 1 or (workers is not None and workers < 1):
            raise ConfigError(f"{workers} workers of {threads} threads are not allowed", hint="1 or more of each")
        if work is None:
            from convscale.trials.training_work import train_trial

            work = train_trial
        if work.__module__ == "__main__":
            raise ConfigError(
                f"{work.__qualname__} is defined in a script, so no worker can import it", hint="put it in a module"
            )
        self._work, self._threads = work, threads
        self._gpus = gpus()
        self._slots = workers or len(self._gpus) or max(1, usable_cores() // threads)
        self._workers: list[_Worker] = []

    @property
    def slots(self) -> int:
        """How many attempts can run at once."""
        return self._slots

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt in an idle worker, or in a new one."""
        for worker in [one for one in self._workers if one.attempt is None]:
            if worker.process.poll() is None:
                worker.start(attempt)
                return
            self._remove(worker)
        assert len(self._workers) < self._slots, "more attempts than slots"
        self._workers.append(_Worker(self._work, self._threads, self._free_gpu()))
        self._workers[-1].start(attempt)

    def _free_gpu(self) -> str | None:
        """The GPU with the fewest workers, None without any."""
        taken = [worker.gpu for worker in self._workers]
        return min(self._gpus, key=taken.count, default=None)

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """The attempts that ended since the last call; returns after the timeout where none did."""
        deadline = time.monotonic() + timeout_seconds
        while not (ended := list(self._ended())) and (left := deadline - time.monotonic()) > 0:
            busy = [one.pipe for one in self._workers if one.attempt is not None]
            wait(busy, min(left, LOOK_EVERY_SECONDS)) if busy else time.sleep(min(left, LOOK_EVERY_SECONDS))
        return ended

    def _ended(self) -> Iterator[Ended]:
        for worker in [one for one in self._workers if one.attempt is not None]:
            if ended := worker.answer():
                if ended.how == "lost":
                    self._remove(worker)
                yield ended

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()

    def close(self, *, grace_seconds: float = 5.0) -> None:
        """End every worker: ask it to save its state, then kill it."""
        for worker in self._workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + grace_seconds
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            worker.end()
        self._workers.clear()


def _cause(code: int) -> str:
    if code >= 0:
        return f"its worker left with exit code {code}"
    hint = ": out of memory, perhaps" if -code == signal.SIGKILL else ""
    return f"its worker was ended by {signal.Signals(-code).name}{hint}"
