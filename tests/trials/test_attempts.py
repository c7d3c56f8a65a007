"""Attempts are fenced: a number is given out once, and a late answer of an attempt that was given up never counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscale.trials import folders
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Attempt, Ended
from convscale.trials.folders import StudyFolder, TrialFolder
from convscale.trials.status import study_status
from convscale.trials.training_work import train_trial
from tests import works
from tests.trials.small_trials import short, trials
from tests.works import Inline

pytest.importorskip("optuna")


class Losing(Inline):
    """Loses the first attempts before their workers have made a run folder, as one does that dies over the data."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    def wait(self, timeout_seconds: float) -> list[Ended]:
        if len(self.started) <= self.losses:
            return [Ended(self.todo.pop(0), "lost", reason="its node went away while it opened the data")]
        return super().wait(timeout_seconds)


@pytest.mark.parametrize("losses", [1, 2])
def test_attempts_that_never_came_to_a_run_keep_their_numbers(tmp_path: Path, losses: int) -> None:
    executor = Losing(losses)
    (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    names = [f"attempt-{number}" for number in range(1, losses + 2)]
    assert [attempt.run.name for attempt in executor.started] == names
    assert [attempt.number for attempt in executor.started] == list(range(1, losses + 2))
    assert (record.attempts, record.run) == (losses + 1, f"trials/0000/{names[-1]}")


def test_attempts_that_are_all_lost_are_counted(tmp_path: Path) -> None:
    (record,) = run_trials(tmp_path, trials(1), Losing(99), quiet=True)
    assert record.result is None and record.attempts == 3 and "lost 3 times" in record.failure
    (state,) = study_status(tmp_path)
    assert (state.state, state.attempts, state.epoch) == ("failed", 3, 0)


class Late(Inline):
    """Gives up the first attempt before it has a run folder; it answers when the second has begun."""

    def wait(self, timeout_seconds: float) -> list[Ended]:
        first = self.started[0]
        if len(self.started) == 1:
            self.todo.clear()
            return [Ended(first, "lost", reason="its node vanished")]
        works.begin(first.run)  # it lived on somewhere: its folder is made late, beside the next one's
        return [Ended(first, "finished", works.result(0.111)), *super().wait(timeout_seconds)]


def test_a_late_answer_of_an_attempt_without_a_run_is_not_taken_for_the_next_ones(tmp_path: Path) -> None:
    executor = Late()
    (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    assert record.result is not None and record.result.accuracy == 0.5
    assert (record.attempts, record.run) == (2, "trials/0000/attempt-2")
    assert [path.name for path in (tmp_path / "trials/0000").glob("attempt-?")] == ["attempt-2"]
    assert len({attempt.run for attempt in executor.started}) == 2


def test_a_late_answer_of_another_study_does_not_count(tmp_path: Path) -> None:
    """One executor, two studies: the trials' numbers and the attempts' are the same in both."""

    class Shared(Inline):
        orphan: Attempt | None = None

        def wait(self, timeout_seconds: float) -> list[Ended]:
            late = [Ended(self.orphan, "finished", works.result(0.99))] if self.orphan else []
            return late + super().wait(timeout_seconds)

    executor = Shared()
    run_trials(tmp_path / "first", trials(1), executor, quiet=True)
    executor.orphan = executor.started[0]
    (record,) = run_trials(tmp_path / "second", [trials(2)[1]], executor, quiet=True)
    assert record.result is not None and record.result.accuracy == 0.501
    assert executor.started[0].trial_number == executor.started[1].trial_number == 0


@pytest.mark.parametrize("moment", ["before", "while", "after"])
def test_a_coordinator_killed_before_it_starts_an_attempt_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Killed before, while and after the last run is copied: the next attempt has a new number and a whole copy."""

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    folder = StudyFolder(tmp_path).add(trials(1)[0])
    first = folder.attempt(folder.begin_attempt())
    works.begin(first)
    (first / "checkpoints").mkdir()
    (first / "checkpoints/state").write_text("one")
    (first / "ticks").write_text("7")
    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr(folders, "_copy_run", killed)
        elif moment == "while":
            patch.setattr(folders.shutil, "copyfile", killed)  # checkpoints are there, the rest is not
        else:
            patch.setattr(TrialFolder, "attempt", lambda self, number: killed())
            patch.setattr(TrialFolder, "newest_run", lambda self: first)
        with pytest.raises(Killed):
            folder.begin_attempt()
    assert folder.attempts() == [1, 2] and not folder.attempt(2).exists()
    assert study_status(tmp_path)[0].attempts == 2
    executor = Inline(works.ticking)
    (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    assert executor.started[0].number == 3 == record.attempts
    assert record.result is not None and record.result.steps == works.TICKS - 7  # it went on from the first's
    assert (tmp_path / record.run / "checkpoints/state").read_text() == "one"
    assert sorted(path.name for path in folder.path.iterdir() if path.is_dir()) == ["attempt-3"]


def test_a_folder_of_before_the_markers_goes_on_after_its_last_attempt(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path).add(trials(1)[0])
    works.begin(folder.attempt(1))
    (folder.path / "attempt-2.log").write_text("what its worker said before it was lost")
    assert folder.begin_attempt() == 3


def test_a_next_attempt_goes_on_from_the_newest_that_came_to_a_run(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path).add(trials(1)[0])
    works.begin(folder.attempt(folder.begin_attempt()))
    (folder.attempt(1) / "ticks").write_text("7")
    half = folder.attempt(folder.begin_attempt())
    (half / "environment.json").unlink()  # as one killed while it made its folder leaves it
    third = folder.attempt(folder.begin_attempt())
    assert third.name == "attempt-3" and (third / "ticks").read_text() == "7"
    assert folder.newest_run() == third


def test_status_shows_the_newest_run_while_the_next_attempt_has_none(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path).add(trials(1)[0])
    assert (study_status(tmp_path)[0].state, study_status(tmp_path)[0].attempts) == ("waiting", 0)
    folder.begin_attempt()
    (state,) = study_status(tmp_path)
    assert (state.state, state.attempts, state.epoch) == ("interrupted", 1, 0)


@pytest.mark.long
def test_a_real_training_begins_beside_its_marker(tmp_path: Path) -> None:
    """The coordinator leaves the folder itself to the worker, which takes no folder of another for its own."""
    (record,) = run_trials(tmp_path, [short(epochs=1)], Inline(train_trial), quiet=True)
    assert record.result is not None and record.attempts == 1
    assert sorted(path.name for path in (tmp_path / "trials/0000").glob("attempt*")) == [
        "attempt-1",
        "attempt-1.started",
    ]
