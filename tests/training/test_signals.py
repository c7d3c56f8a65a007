"""SIGTERM and Ctrl-C: the run is saved in time, and goes on as if nothing had been."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import TrainingStopped
from convscale.training.step import Outcome, Stepper
from tests.training.small_runs import FULL, forked, state_of, trained


def interrupted(work: Callable[[], None], now: Path, at: int, number: int, delay: float, again: bool = False) -> float:
    """Send a signal to `work` in a process of its own, `delay` s after its step `at` began, and, `again`, once more
    half a second later; the seconds from the last signal to the end, which was by that signal."""

    def child() -> None:
        take = Stepper.take

        def slower(self: Stepper, batch: Any) -> Outcome:
            if self.state.position.total_steps >= at:
                now.touch()
                time.sleep(0.05)
            return take(self, batch)

        Stepper.take = slower  # type: ignore[method-assign]
        try:
            work()
        except TrainingStopped as stopped:
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    deadline = time.monotonic() + 60
    while not now.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    assert process.pid is not None
    for pause in (0.0, 0.5) if again else (0.0,):
        time.sleep(pause)
        assert process.is_alive()
        os.kill(process.pid, number)
    told = time.monotonic()
    process.join(30)
    assert process.exitcode == 128 + number
    return time.monotonic() - told


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(20 if FULL else 4))
def test_sigterm_saves_and_leaves(photos: Path, whole: Path, tmp_path: Path, attempt: int) -> None:
    """FAULTS 6: at any moment, evaluations and saves included: 143 within 5 s, and nothing lost."""
    run, chance = tmp_path / "run", random.Random(attempt)
    work = partial(trained, photos, run, workers=attempt % 2 * 2)
    assert interrupted(work, tmp_path / "now", chance.randrange(10), signal.SIGTERM, chance.uniform(0, 0.2)) <= 5
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)


def test_sigterm_during_an_evaluation(photos: Path, whole: Path, tmp_path: Path) -> None:
    from convscale.training import loop

    def child() -> None:
        real = loop.measure

        def slow(*arguments: Any, **keywords: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return real(*arguments, **keywords)

        loop.measure = slow  # type: ignore[assignment]
        try:
            trained(photos, tmp_path / "run")
        except TrainingStopped as stopped:
            os._exit(stopped.exit_code)

    assert forked(child) == 143
    cs.resume(tmp_path / "run", quiet=True)
    assert state_of(tmp_path / "run") == state_of(whole)


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(20 if FULL else 3))
def test_ctrl_c_twice(photos: Path, whole: Path, tmp_path: Path, attempt: int) -> None:
    """FAULTS 7: the first is graceful, the second leaves within a second, here from a save that takes five; no file is
    left damaged. Beside other tests it may take longer."""
    run, chance = tmp_path / "run", random.Random(attempt)

    def slow_to_save() -> None:
        from convscale.training import session

        real = session.save_checkpoint

        def slow(*arguments: Any) -> Path:
            if (tmp_path / "now").exists():
                for _ in range(500):
                    time.sleep(0.01)
            return real(*arguments)

        session.save_checkpoint = slow
        trained(photos, run, workers=attempt % 2)

    assert interrupted(
        slow_to_save, tmp_path / "now", chance.randrange(8), signal.SIGINT, chance.uniform(0, 0.1), True
    ) <= (1 if FULL else 4)
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)
