"""Killed workers and coordinators: nothing is lost, no orphan is left, and the command given again goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from convscale.errors import RunError, TrainingStopped
from convscale.runs import Run
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Attempt
from convscale.trials.folders import hold_study, is_held
from convscale.trials.local import LocalExecutor
from convscale.trials.training_work import train_trial
from tests import works
from tests.trials.small_trials import FAULTS, accuracies, short, stored, trials, wait_for
from tests.works import Inline, records_of

pytest.importorskip("optuna")

# Workers


def test_a_trial_that_kills_its_worker_is_given_up_after_three(tmp_path: Path) -> None:
    with closing(LocalExecutor(2, work=works.dying)) as executor:
        (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    assert record.result is None and record.attempts == 3
    assert "lost 3 times" in record.failure and "SIGKILL" in record.failure


@pytest.mark.long
def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    count = 40 if FAULTS else 16
    with closing(LocalExecutor(4, work=works.dying_once)) as executor:
        records = run_trials(tmp_path, trials(count), executor, quiet=True)
    assert accuracies(records) == [0.5 + seed / 1000 for seed in range(count)]
    assert [record.attempts for record in records] == [2 if seed % 4 == 0 else 1 for seed in range(count)]
    assert len(records_of(tmp_path)) == count == len(stored(tmp_path))


def test_a_killed_worker_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    def kill() -> None:
        pid = tmp_path / "trials/0000/attempt-1/pid"
        wait_for(lambda: pid.exists() and pid.read_text() and int(_read(pid.with_name("ticks")) or 0) >= 4)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with closing(LocalExecutor(1, work=works.ticking)) as executor:
        (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    killer.join()
    assert record.result is not None and record.attempts == 2
    assert 0 < record.result.steps <= works.TICKS - 4
    assert [path.name for path in (tmp_path / "trials/0000").glob("attempt-?")] == ["attempt-2"]


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.long
def test_a_killed_training_ends_as_it_would_have(tmp_path: Path) -> None:
    trial = short()
    whole = train_trial(trial, tmp_path / "whole")
    run = tmp_path / "study/trials/0000/attempt-1"

    def kill() -> None:
        wait_for(lambda: Run(run).metrics())
        (pid,) = (
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if _owner(path) == os.getpid() and b"convscale.trials.worker" in path.read_bytes()
        )
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with closing(LocalExecutor(1)) as executor:
        (record,) = run_trials(tmp_path / "study", [trial], executor, quiet=True)
    killer.join()
    assert record.attempts == 2
    assert record.result is not None
    assert (record.result.accuracy, record.result.steps) == (whole.accuracy, whole.steps)
    last = Run(tmp_path / "study" / record.run).result()
    first = Run(tmp_path / "whole").result()
    assert last is not None and first is not None and last.state_sha256 == first.state_sha256


def _owner(path: Path) -> int:
    """The parent of a process."""
    try:
        return int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


# The coordinator


COORDINATOR = """
import sys
from pathlib import Path
from contextlib import closing
from convscale.trials.coordination import run_trials
from convscale.trials.local import LocalExecutor
from tests.trials.small_trials import trials
from tests.works import ticking
with closing(LocalExecutor(2, work=ticking)) as executor:
    run_trials(Path(sys.argv[1]), trials(4), executor, quiet=True)
"""


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.long
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_coordinator_leaves_no_orphans_and_loses_nothing(tmp_path: Path, kill: signal.Signals) -> None:
    pids: set[int] = set()
    for _ in range(10 if FAULTS and kill == signal.SIGKILL else 2):
        process = subprocess.Popen([sys.executable, "-c", COORDINATOR, str(tmp_path)])
        before = len(list(tmp_path.glob("trials/*/attempt-*/pid")))
        wait_for(
            lambda before=before, process=process: (
                len(list(tmp_path.glob("trials/*/attempt-*/pid"))) > before or process.poll() is not None
            )
        )
        time.sleep(random.Random(str(tmp_path)).uniform(0, 0.4))
        process.send_signal(kill)
        code = process.wait()
        assert code in (0, -signal.SIGKILL) if kill == signal.SIGKILL else code in (0, 1)
        pids |= {int(text) for path in tmp_path.glob("trials/*/attempt-*/pid") if (text := path.read_text())}
        wait_for(lambda seen=frozenset(pids): not any(map(_alive, seen)), 20)
    with closing(LocalExecutor(2, work=works.ticking)) as executor:
        records = run_trials(tmp_path, trials(4), executor, quiet=True)
    assert accuracies(records) == [0.5, 0.501, 0.502, 0.503]
    assert len(records_of(tmp_path)) == 4
    complete = [trial for trial in stored(tmp_path) if trial.state.name == "COMPLETE"]
    assert sorted(trial.user_attrs["trial"] for trial in complete) == [0, 1, 2, 3]


def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    def stop(attempt: Attempt) -> None:
        if attempt.trial.seed == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    executor = Inline(before=stop)
    with pytest.raises(TrainingStopped, match=f"2 of 6 trials done.*convscale study resume {tmp_path}") as caught:
        run_trials(tmp_path, trials(6), executor, quiet=True)
    assert caught.value.exit_code == 143 and executor.closed
    assert accuracies(run_trials(tmp_path, trials(6), Inline(), quiet=True)) == [0.5 + seed / 1000 for seed in range(6)]


def test_only_one_process_owns_a_study(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from convscale.trials.folders import hold_study\n"
    code += "with hold_study(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=f"process {holder.pid} is running this study"):
        run_trials(tmp_path, trials(1), Inline(), quiet=True)
    holder.kill()
    holder.communicate()
    (tmp_path / "link").symlink_to(tmp_path)
    with hold_study(tmp_path), hold_study(tmp_path):
        assert is_held(tmp_path / "link") and is_held(tmp_path / "trials" / "..")
        assert len(run_trials(tmp_path, trials(1), Inline(), quiet=True)) == 1
