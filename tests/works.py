"""What workers do in tests of studies: light stand-ins for training, importable by other processes, and an executor
that runs them in this one."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from convscale.errors import DataError
from convscale.trials.executor import Attempt, Ended
from convscale.trials.trial import Trial, TrialResult
from convscale.trials.worker import carry_out

TICKS = 20


def result(accuracy: float, steps: int = 10) -> TrialResult:
    return TrialResult(
        accuracy=accuracy, interval95=(accuracy - 0.01, accuracy + 0.01), steps=steps, device_seconds=0.1
    )


def begin(run: Path) -> None:
    """Make the run folder as `train` does, and say which process works there."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "environment.json").write_text("{}")
    (run / "pid").write_text(str(os.getpid()))


def quick(trial: Trial, run: Path) -> TrialResult:
    begin(run)
    time.sleep(0.01)
    return result(0.5 + trial.seed / 1000)


def ticking(trial: Trial, run: Path) -> TrialResult:
    """Count to TICKS, a saved tick at a time, from where the folder stands; `steps` are those of this attempt."""
    begin(run)
    saved = run / "ticks"
    done = int(saved.read_text()) if saved.exists() else 0
    begun = done
    while done < TICKS:
        time.sleep(0.05)
        done += 1
        saved.with_suffix(".new").write_text(str(done))
        saved.with_suffix(".new").replace(saved)
    return result(0.5 + trial.seed / 1000, steps=done - begun)


def dying_once(trial: Trial, run: Path) -> TrialResult:
    """Killed in the middle of every fourth trial's first attempt."""
    begin(run)
    if trial.seed % 4 == 0 and run.name == "attempt-1":
        os.kill(os.getpid(), signal.SIGKILL)
    return quick(trial, run)


def seeing_gpus(trial: Trial, run: Path) -> TrialResult:
    """Write which GPUs the process sees, and stay busy until its neighbours are started too."""
    begin(run)
    (run / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    time.sleep(1)
    return result(0.5)


def dying(trial: Trial, run: Path) -> TrialResult:
    begin(run)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def odd(trial: Trial, run: Path) -> TrialResult:
    """Accuracies that are none, and errors."""
    if trial.seed < 3:
        return result((float("nan"), float("inf"), float("-inf"))[trial.seed])
    if trial.seed == 3:
        raise DataError("the images are gone", hint="find them")
    if trial.seed == 4:
        raise RuntimeError("the loss exploded")
    return quick(trial, run)


class Inline:
    """Runs attempts in this process, one a `wait`, in the order of their starts. `before` is told of each."""

    def __init__(
        self,
        work: Callable[[Trial, Path], TrialResult] = quick,
        slots: int = 2,
        before: Callable[[Attempt], object] = lambda attempt: None,
    ) -> None:
        self.work, self.slots, self.before = work, slots, before
        self.todo: list[Attempt] = []
        self.started: list[Attempt] = []
        self.closed = False

    def start(self, attempt: Attempt) -> None:
        assert len(self.todo) < self.slots
        self.todo.append(attempt)
        self.started.append(attempt)

    def wait(self, timeout_seconds: float) -> list[Ended]:
        if not self.todo:
            return []
        attempt = self.todo.pop(0)
        self.before(attempt)
        return [Ended(attempt, *carry_out(self.work, attempt.trial, attempt.run))]

    def close(self, *, grace_seconds: float = 5.0) -> None:
        self.closed = True
        self.todo.clear()


def records_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("trials/*/record.json"))]
