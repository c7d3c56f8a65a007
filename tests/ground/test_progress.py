"""Progress as data, and what it shows where no terminal is."""

from __future__ import annotations

import itertools

import pytest

from convscale import progress
from convscale.progress import Progress, ProgressState, images_per_second, time_left


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second passes whenever the time is asked for."""
    ticks = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks) / 2)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_data_for_others(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    states: list[ProgressState] = []
    counted = Progress(40, done_steps=10, quiet=quiet, on_progress=states.append)
    for _ in range(30):
        counted.step("epoch 1/1", pace="7 images/s")
    counted.line("epoch 1/1  loss 2")
    assert states and states[-1].step == states[-1].total_steps == 40 and states[-1].seconds_left == 0
    assert len(states) < 30 and [one.step for one in states] == sorted({one.step for one in states})
    assert all(one.text == "epoch 1/1" and (one.seconds_left or 0) >= 0 for one in states)
    lines = capsys.readouterr().err.splitlines()
    assert bool(lines) is not quiet
    if lines:
        assert lines[-1] == "epoch 1/1  loss 2  done" and "%  7 images/s  " in lines[0] and lines[0].endswith("s left")
        assert not any("\x1b" in line or "[" in line for line in lines)


def test_time_left_is_unknown_before_a_step() -> None:
    assert Progress(10).seconds_left is None and Progress(10).state("").seconds_left is None
    resumed = Progress(10, done_steps=5)
    resumed.skip(2)
    assert resumed.seconds_left is None and resumed.done_steps == 7


def test_figures_are_short() -> None:
    assert [time_left(one) for one in (None, 0.02, 8.4, 65, 4000)] == [
        "",
        "1s left",
        "8s left",
        "1m05s left",
        "1h06m left",
    ]
    assert images_per_second(74.6638, 1) == "74.7 images/s" and images_per_second(412_345, 1000) == "412 images/s"
    assert images_per_second(12345, 1) == "12.3k images/s" and images_per_second(1, 0).endswith("images/s")
