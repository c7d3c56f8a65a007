"""An unfinished trial resumes on a machine that computes as its own does, and begins anew elsewhere."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from convscale.errors import TrainingStopped
from convscale.machine import environment
from convscale.nn.device import device_facts
from convscale.runs import Run
from convscale.trials.coordination import run_trials
from convscale.trials.machine_change import machine_changes, note_of
from convscale.trials.training_work import train_trial
from convscale.trials.trial import Trial, TrialResult
from tests import works
from tests.trials.small_trials import short, trials, wait_for
from tests.works import Inline

pytest.importorskip("optuna")


def begun(run: Path) -> Trial:
    """A trial that was stopped after its first epoch."""
    trial = short()

    def stop() -> None:
        wait_for(lambda: Run(run).metrics())
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(TrainingStopped):
        train_trial(trial, run)
    stopper.join()
    assert 1 <= len(Run(run).metrics()) < 3
    return trial


def events(run: Path) -> str:
    file = run / "events.jsonl"
    return file.read_text() if file.exists() else ""


def moved(run: Path, **facts: Any) -> None:
    """As if the run had begun on a machine with these facts."""
    file = run / "environment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


@pytest.mark.long
def test_elsewhere_a_trial_begins_anew_and_on_its_own_machine_it_resumes(tmp_path: Path) -> None:
    trial = begun(tmp_path / "attempt-1")
    moved(tmp_path / "attempt-1", cores=512, memory_bytes=1, torch_threads=9)  # which change nothing that is computed
    here = train_trial(trial, tmp_path / "attempt-1")
    assert "resuming in epoch" in events(tmp_path / "attempt-1") and not note_of(tmp_path / "attempt-1").exists()
    begun(tmp_path / "attempt-2")
    moved(tmp_path / "attempt-2", processor="of another make")
    there = train_trial(trial, tmp_path / "attempt-2")
    assert "resuming" not in events(tmp_path / "attempt-2")
    assert note_of(tmp_path / "attempt-2").read_text().startswith("its processor was of another make, is ")
    assert (here.accuracy, here.steps) == (there.accuracy, there.steps)
    assert Run(tmp_path / "attempt-2").environment()["processor"] == environment()["processor"]


def test_a_training_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    trial = short(epochs=1)
    first = train_trial(trial, tmp_path / "attempt-1")
    moved(tmp_path / "attempt-1", processor="of another make")
    assert train_trial(trial, tmp_path / "attempt-1").accuracy == first.accuracy
    assert not note_of(tmp_path / "attempt-1").exists()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, []),
        ({"cores": 1, "memory_bytes": 1, "torch_threads": 64, "versions": {}}, []),
        ({"processor": "Z80"}, ["its processor was Z80, is "]),
        ({"machine": "riscv64"}, ["its machine was riscv64, is "]),
        ({"system": "Plan 9"}, ["its system was Plan 9, is "]),
        ({"device": "cuda"}, ["its device was cuda, is cpu here"]),
        ({"device": "cuda:3", "gpu": "NVIDIA T4", "processor": "Z80"}, ["its device was NVIDIA T4, is cpu here"]),
    ],
)
def test_what_counts_is_what_the_numbers_depend_on(facts: dict[str, Any], says: list[str]) -> None:
    changes = machine_changes(environment() | device_facts() | facts)
    assert len(changes) == len(says) and all(one.startswith(start) for one, start in zip(changes, says, strict=True))
    assert machine_changes({}) == []  # a run from before these facts were recorded


def anew(trial: Trial, run: Path) -> TrialResult:
    works.begin(run)
    note_of(run).write_text("its processor was Z80, is 6502 here")
    return works.result(0.5)


def test_the_board_says_that_a_trial_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_trials(tmp_path, trials(2), Inline(anew))
    err = capsys.readouterr().err
    assert err.count("begins anew on this machine: its processor was Z80, is 6502 here") == 2
    assert err.count("trial 1 begins anew") == 1
