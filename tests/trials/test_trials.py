"""Trials: every one ends once, whatever dies meanwhile; the records are the truth and the store follows them."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale import optuna_storage
from convscale.errors import ConfigError, RunError, TrainingStopped
from convscale.records import DataChoice, FactorCurve, StudySpec, flat
from convscale.runs import ProgressFile, ProgressRecord, Run
from convscale.studies.running import read_spec
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Attempt, Ended
from convscale.trials.folders import StudyFolder, hold_study, is_held, require_same_settings
from convscale.trials.local import LocalExecutor
from convscale.trials.status import study_status
from convscale.trials.store import Store
from convscale.trials.training_work import choose_images, train_trial
from convscale.trials.trial import Trial, TrialRecord, TrialResult
from tests import works
from tests.works import Inline, quick, records_of

optuna = pytest.importorskip("optuna")

FAULTS = bool(os.environ.get("CONVSCALE_FAULTS"))


def trials(count: int) -> list[Trial]:
    network, recipe = cs.network("small-mbconv").at_resolution(16), cs.recipe("digits")
    return [Trial(network=network, recipe=recipe, data=DataChoice(source="digits"), seed=seed) for seed in range(count)]


def accuracies(records: list[TrialRecord]) -> list[float | None]:
    return [record.result.accuracy if record.result else None for record in records]


def wait_for(happens: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def stored(folder: Path) -> list[optuna.trial.FrozenTrial]:
    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/study.sqlite")
    found = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/study.sqlite").get_trials()
    return [trial for trial in found if "convscale_key_ended" in trial.user_attrs]


# Trials and records


def test_a_key_is_of_what_is_trained_and_not_of_names() -> None:
    (trial,) = trials(1)
    named = replace(trial, network=replace(trial.network, name="other"), recipe=replace(trial.recipe, note="other"))
    assert named.key == trial.key
    other = [
        replace(trial, seed=1),
        replace(trial, recipe=trial.recipe.with_changes(epochs=3)),
        replace(trial, data=replace(trial.data, train_images=100)),
        replace(trial, network=trial.network.at_resolution(17)),
    ]
    assert len({one.key for one in [trial, *other]}) == 5


def test_records_come_in_the_order_asked_and_nothing_is_done_twice(tmp_path: Path) -> None:
    asked = trials(6)
    executor = Inline()
    records = run_trials(tmp_path, [asked[3], asked[0], asked[3]], executor, quiet=True)
    assert accuracies(records) == [0.503, 0.5, 0.503]
    assert len(executor.started) == 2
    again = run_trials(tmp_path, asked, executor, quiet=True)
    assert accuracies(again) == [0.5 + seed / 1000 for seed in range(6)]
    assert len(executor.started) == 6
    assert sorted(record.number for record in again) == list(range(6))
    assert not executor.closed
    assert [json.loads(json.dumps(flat(record)))["key"] for record in again] == [trial.key for trial in asked]


@pytest.mark.parametrize("count", [200 if FAULTS else 60])
def test_many_short_trials_on_many_workers_are_recorded_once_each(tmp_path: Path, count: int) -> None:
    with closing(LocalExecutor(8, work=quick)) as executor:
        records = run_trials(tmp_path, trials(count), executor, quiet=True)
    assert accuracies(records) == [0.5 + seed / 1000 for seed in range(count)]
    assert sorted(int(str(one["number"])) for one in records_of(tmp_path)) == list(range(count))
    assert sorted(trial.value for trial in stored(tmp_path)) == sorted(accuracies(records))  # type: ignore[type-var]


# What fails


def test_what_is_no_accuracy_fails_and_the_study_goes_on(tmp_path: Path) -> None:
    records = run_trials(tmp_path, trials(7), Inline(works.odd), quiet=True)
    assert accuracies(records) == [None] * 5 + [0.505, 0.506]
    assert [record.failure for record in records[:3]] == [
        "the accuracy is nan", "the accuracy is inf", "the accuracy is -inf"
    ]  # fmt: skip
    assert records[3].failure == "DataError: the images are gone (find them)"
    assert records[4].failure == "RuntimeError: the loss exploded"
    found = {trial.user_attrs["trial"]: trial for trial in stored(tmp_path)}
    assert [found[number].state.name for number in range(7)] == ["FAIL"] * 5 + ["COMPLETE"] * 2
    assert found[4].user_attrs["failure"] == "RuntimeError: the loss exploded"
    assert all(math.isfinite(trial.value) for trial in found.values() if trial.state.name == "COMPLETE")
    again = Inline(works.quick)
    assert run_trials(tmp_path, trials(7), again, quiet=True) == records  # failed ones are not tried again
    assert not again.started


def test_a_trial_that_kills_its_worker_is_given_up_after_three(tmp_path: Path) -> None:
    with closing(LocalExecutor(2, work=works.dying)) as executor:
        (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    assert record.result is None and record.attempts == 3
    assert "lost 3 times" in record.failure and "SIGKILL" in record.failure


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


# The coordinator is killed

COORDINATOR = """
import sys
from pathlib import Path
from contextlib import closing
from convscale.trials.coordination import run_trials
from convscale.trials.local import LocalExecutor
from tests.trials.test_trials import trials
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
    with pytest.raises(RunError, match=f"process {holder.pid} runs this study"):
        run_trials(tmp_path, trials(1), Inline(), quiet=True)
    holder.kill()
    holder.communicate()
    (tmp_path / "link").symlink_to(tmp_path)
    with hold_study(tmp_path), hold_study(tmp_path):
        assert is_held(tmp_path / "link") and is_held(tmp_path / "trials" / "..")
        assert len(run_trials(tmp_path, trials(1), Inline(), quiet=True)) == 1


# Fences


class Orphan(Inline):
    """Gives up the first attempt, and delivers its result while the second one runs."""

    def __init__(self) -> None:
        super().__init__()
        self.orphan: Attempt | None = None

    def wait(self, timeout_seconds: float) -> list[Ended]:
        attempt = self.todo.pop(0)
        if self.orphan is None:
            works.begin(attempt.run)
            (attempt.run / "ticks").write_text("7")
            self.orphan = attempt
            return [Ended(attempt, "lost", reason="its node does not answer")]
        (self.orphan.run / "ticks").write_text("the orphan goes on")
        late = Ended(self.orphan, "finished", works.result(0.99))
        assert (attempt.run / "ticks").read_text() == "7"
        return [late, Ended(attempt, "finished", works.result(0.5)), late]


def test_a_late_result_of_an_orphan_neither_counts_nor_overwrites(tmp_path: Path) -> None:
    (record,) = run_trials(tmp_path, trials(1), Orphan(), quiet=True)
    assert record.result is not None and record.result.accuracy == 0.5
    assert (record.attempts, record.run) == (2, "trials/0000/attempt-2")
    assert len(records_of(tmp_path)) == 1 == len(stored(tmp_path))
    assert (tmp_path / record.run / "ticks").read_text() == "7"


# Damage


def test_a_damaged_record_costs_one_trial(tmp_path: Path) -> None:
    run_trials(tmp_path, trials(5), Inline(), quiet=True)
    file = tmp_path / "trials/0002/record.json"
    whole = file.read_text()
    for cut in range(0, len(whole) - 2, 40):
        file.write_text(whole[:cut])
        executor = Inline()
        records = run_trials(tmp_path, trials(5), executor, quiet=True)
        assert accuracies(records) == [0.5 + seed / 1000 for seed in range(5)]
        assert len(executor.started) == 1
    assert list(file.parent.glob("record.json.damaged-*"))


def test_a_damaged_trial_is_moved_aside(tmp_path: Path) -> None:
    run_trials(tmp_path, trials(3), Inline(), quiet=True)
    (tmp_path / "trials/0001/trial.toml").write_text("seed = [")
    records = run_trials(tmp_path, trials(3), Inline(), quiet=True)
    assert accuracies(records) == [0.5, 0.501, 0.502]
    assert [record.number for record in records] == [0, 3, 2]
    assert (tmp_path / "trials/0001.damaged-1").is_dir()


def test_a_damaged_store_is_made_anew(tmp_path: Path) -> None:
    run_trials(tmp_path, trials(5), Inline(), quiet=True)
    database = tmp_path / "study.sqlite"
    whole = database.read_bytes()
    cuts = range(0, len(whole), len(whole) // (100 if FAULTS else 6))
    for cut in cuts:
        database.write_bytes(whole[:cut])
        records = run_trials(tmp_path, trials(5), Inline(), quiet=True)
        assert len(records) == 5
        found = stored(tmp_path)
        assert sorted(trial.user_attrs["trial"] for trial in found) == list(range(5))
        assert all(trial.state.name == "COMPLETE" for trial in found)
    database.write_bytes(b"no database at all" * 500)
    assert len(run_trials(tmp_path, trials(5), Inline(), quiet=True)) == len(stored(tmp_path)) == 5


# The store goes away


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    held: list[sqlite3.Connection] = []

    def lock() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "study.sqlite", isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN EXCLUSIVE")
        held.append(connection)
        return connection

    yield lock
    for connection in held:
        connection.close()


def test_a_store_that_comes_back_is_waited_for(tmp_path: Path, locked: Callable[[], sqlite3.Connection]) -> None:
    def lock_for_a_moment(attempt: Attempt) -> None:
        if attempt.trial.seed == 1:
            threading.Timer(0.5, locked().close).start()

    run_trials(tmp_path, trials(3), Inline(before=lock_for_a_moment), quiet=True)
    assert len(stored(tmp_path)) == 3


def test_a_store_that_stays_away_ends_the_study_with_nothing_lost(
    tmp_path: Path, locked: Callable[[], sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_storage, "SECONDS_OF_RETRIES", 0.1)
    connections = []

    def lock(attempt: Attempt) -> None:
        if attempt.trial.seed == 1 and not connections:
            connections.append(locked())

    executor = Inline(before=lock)
    with pytest.raises(RunError, match=f"the store does not answer.*convscale study resume {tmp_path}"):
        run_trials(tmp_path, trials(4), executor, quiet=True)
    assert executor.closed
    assert [one["key"] for one in records_of(tmp_path)] == [trial.key for trial in trials(2)]
    connections[0].close()
    again = Inline()
    assert len(run_trials(tmp_path, trials(4), again, quiet=True)) == 4
    assert [attempt.trial.seed for attempt in again.started] == [2, 3]
    assert sorted(trial.user_attrs["trial"] for trial in stored(tmp_path)) == [0, 1, 2, 3]


def test_a_store_of_ones_own(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'own.db'}"
    run_trials(tmp_path / "study", trials(2), Inline(), storage=address, quiet=True)
    assert not (tmp_path / "study/study.sqlite").exists()
    assert len(optuna.get_all_study_names(address)) == 1
    with hold_study(tmp_path / "study") as folder:
        assert len(Store(folder, address).known) == 2


# Settings and status


def test_other_settings_are_refused_with_what_differs(tmp_path: Path) -> None:
    def ask(spec: StudySpec) -> None:
        require_same_settings(tmp_path, "study", spec, read_spec)

    curve, data = FactorCurve(name="deep", points=((2, 1, 1),)), DataChoice(source="d")
    spec = StudySpec(name="s", baselines=("small-resnet",), curves=(curve,), lengths=(2, 4), data=data)
    ask(spec)
    ask(replace(spec, lengths=[2, 4]))  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"data.source was 'd', is now 'x'; lengths was \[2, 4\], is now \[2, 8\]"):
        ask(replace(spec, lengths=(2, 8), data=DataChoice(source="x")))
    with pytest.raises(RunError, match="resolution was nothing, is now 8; seeds was 3, is now 4"):
        ask(replace(spec, resolution=8, seeds=4))


def test_status_says_how_far_each_trial_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no study here"):
        study_status(tmp_path)
    run_trials(tmp_path, trials(2), Inline(works.odd), quiet=True)
    with hold_study(tmp_path) as folder:
        folder.add(trials(8)[7])
        begun = folder.add(trials(9)[8])
        works.begin(begun.attempt(1))
        assert study_status(tmp_path)[3].seconds_left is None
        now = ProgressRecord(
            step=3, total_steps=9, epoch=1, epochs=3, seconds_left=12.5, updated=time.time(), pid=1, state="training"
        )
        ProgressFile(begun.attempt(1), lambda reason: None).write(now)
        states = study_status(tmp_path)
    assert [one.seconds_left for one in states] == [None, None, None, 12.5]
    assert [one.state for one in states] == ["failed", "failed", "waiting", "running"]
    assert "nan" in states[0].reason and flat(states[0])["seed"] == 0
    (left,) = study_status(tmp_path)[3:]
    assert left.state == "interrupted" and left.seconds_left is None
    run_trials(tmp_path, [trials(9)[8]], Inline(), quiet=True)
    assert study_status(tmp_path)[3].accuracy == 0.508


@pytest.mark.parametrize("counts", [{"workers": 0}, {"threads": 0}])
def test_counts_below_one_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        LocalExecutor(**counts, work=quick)
    with pytest.raises(ConfigError, match="max_attempts"):
        run_trials(Path("nowhere"), [], Inline(), max_attempts=0)


# Real training


def test_images_are_drawn_by_the_choice() -> None:
    choice = DataChoice(source="digits", train_images=100, test_images=50)
    chosen = choose_images(choice)
    assert (len(chosen.train), len(chosen.test)) == (100, 50)
    assert chosen.record() == choose_images(replace(choice)).record()
    assert chosen.record().fingerprint != choose_images(replace(choice, seed=1)).record().fingerprint
    with pytest.raises(cs.ConvscaleError, match=r"1,438 training images, not 5,000"):
        choose_images(replace(choice, train_images=5000))
    with pytest.raises(ConfigError, match="train_images 1 "):
        DataChoice(source="digits", train_images=1)


def short(epochs: int = 3) -> Trial:
    (trial,) = trials(1)
    data = DataChoice(source="digits", train_images=320, test_images=100)
    return replace(trial, recipe=trial.recipe.with_changes(epochs=epochs), data=data)


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


def test_a_run_that_was_killed_before_it_was_one_begins_anew(tmp_path: Path) -> None:
    run = tmp_path / "attempt-1"
    run.mkdir()
    (run / "network.toml").write_text("half")
    ended: TrialResult = train_trial(short(epochs=1), run)
    assert 0 < ended.accuracy < 1 and ended.steps == 10


def test_the_folder_gives_a_lost_attempts_checkpoints_to_the_next(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    folder = study.add(trials(1)[0])
    assert folder.begin_attempt() == 1
    first = folder.attempt(1)
    works.begin(first)
    (first / "checkpoints/step-1").mkdir(parents=True)
    (first / "checkpoints/step-1/state").write_text("one")
    (first / "metrics.jsonl").write_text("a\n")
    assert folder.begin_attempt() == 2
    with (first / "metrics.jsonl").open("a") as file:
        file.write("the orphan\n")
    second = folder.attempt(2)
    assert (second / "metrics.jsonl").read_text() == "a\n"
    assert (second / "checkpoints/step-1/state").stat().st_ino == (first / "checkpoints/step-1/state").stat().st_ino
