"""Damaged records and stores: the records are the truth, and the store follows them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convscale import optuna_storage
from convscale.errors import RunError
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Attempt
from convscale.trials.folders import hold_study
from convscale.trials.store import Store
from tests.trials.small_trials import FAULTS, accuracies, stored, trials
from tests.works import Inline, records_of

optuna = pytest.importorskip("optuna")


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


@pytest.mark.long
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
