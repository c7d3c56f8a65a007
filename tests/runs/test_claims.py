"""One folder, one run: claims by several processes at once, and what a claim leaves behind that came to nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import BudgetError, ConfigError, RunError
from convscale.locks import LockedError, is_locked, lock
from convscale.preprocessing import default_preprocessing
from convscale.recipes import Recipe
from convscale.records import DataRecord
from convscale.runs import Run, Settings, claim, claim_next, create_run, release
from tests.forking import Forked

TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(note="a test", epochs=1, batch=64, learning_rate=0.05)
FORK = multiprocessing.get_context("fork")


def create(path: Path, seed: int = 0) -> Run:
    data = DataRecord("digits", "stratified", 0, "label", 1438, 359)
    return create_run(path, TINY, QUICK, data, Settings(seed=seed), {}, {}, default_preprocessing(8, 1))


def at_once(count: int, work: Callable[[int], Any]) -> list[str]:
    """What `count` processes come to that do `work(number)` at the same moment: its result, or its error."""
    barrier, answers = FORK.Barrier(count), FORK.SimpleQueue()

    def child(number: int) -> None:
        barrier.wait()
        try:
            answers.put(str(work(number)))
        except RunError as error:
            answers.put(f"error: {error.message}")

    processes = [FORK.Process(target=child, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sorted(answers.get() for _ in processes)


@pytest.mark.long
@pytest.mark.parametrize("there", [False, True])
def test_two_processes_never_make_a_run_in_one_folder(tmp_path: Path, there: bool) -> None:
    for attempt in range(20):
        path = tmp_path / str(attempt)
        if there:
            path.mkdir()
        told = at_once(2, lambda number, path=path: create(path, seed=number + 1).settings().seed)  # type: ignore[misc]
        made = [one for one in told if one in ("1", "2")]
        assert len(made) == 1 and told[1] == f"error: {path}: the folder is not empty", told
        assert Run(path).settings().seed == int(made[0])  # no file is the other's


@pytest.mark.long
def test_each_process_claims_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits-2").mkdir()
    (tmp_path / "runs" / "digits-4").symlink_to("nowhere")
    for _ in range(5):
        told = at_once(6, lambda number: claim_next(tmp_path / "runs", "digits"))
        assert len(set(told)) == 6
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert names == {f"digits-{number}" for number in range(1, 33)}


def test_fit_twice_at_once_makes_two_runs(tmp_path: Path) -> None:
    words = ("-m", "convscale", "fit", "digits", "--macs", "200k", "--epochs", "1", "--seed")
    said = [tmp_path / f"said-{seed}" for seed in range(2)]
    children = [Forked((*words, str(seed)), (os.devnull, os.devnull, str(said[seed])), tmp_path) for seed in range(2)]
    assert [child.wait() for child in children] == [0, 0], [path.read_text() for path in said]
    runs = [Run(tmp_path / "runs" / name) for name in ("digits-1", "digits-2")]
    assert {run.settings().seed for run in runs} == {0, 1}
    assert {run.story().command for run in runs} == {  # type: ignore[union-attr]
        f"convscale fit digits --macs 200k --epochs 1 --seed {seed}" for seed in range(2)
    }


def test_a_claim_that_came_to_nothing_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BudgetError):
        cs.fit("digits", cs.Budget(macs=10), quiet=True)
    for output in (None, "mine"):
        with pytest.raises(ConfigError, match="random state|workers"):
            cs.fit("digits", cs.Budget(macs="1M"), output=output, workers=9999, quiet=True)
        assert not list(tmp_path.glob("runs/*")) and not (tmp_path / "mine").exists()
    claim(tmp_path / "claimed")
    claim(tmp_path / "claimed")  # again, by the same process
    release(tmp_path / "claimed")
    assert not (tmp_path / "claimed").exists()
    create(tmp_path / "run")
    release(tmp_path / "run")  # what became a run is no claim any more
    assert Run(tmp_path / "run").network() == TINY
    with pytest.raises(RunError, match="not empty.*resume"):
        claim(tmp_path / "run")


@pytest.mark.parametrize("at", range(1, 8))
def test_what_a_killed_process_made_by_half_can_be_discarded(tmp_path: Path, at: int) -> None:
    """Killed at each of its writes: it is no run yet, and its remains go without a trace."""

    def child() -> None:
        calls, real = [0], os.replace

        def fatal(source: Any, target: Any) -> None:
            calls[0] += 1
            if calls[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)

        os.replace = fatal
        Path.replace = lambda self, target: fatal(self, target)  # type: ignore[method-assign,assignment]
        create(tmp_path / "run")

    process = FORK.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "run" / "environment.json").exists()
    with pytest.raises(RunError, match="not empty"):
        claim(tmp_path / "run")
    Run(tmp_path / "run").discard()
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *rest: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("convscale.runs.create.write_text", full)
    with pytest.raises(RunError, match="cannot be written: No space left"):
        create(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_asking_for_a_lock_of_this_process_keeps_it(tmp_path: Path) -> None:
    create(tmp_path / "run")
    assert not is_locked(tmp_path / "run" / "lock") and not is_locked(tmp_path / "none")
    with Run(tmp_path / "run").locked():
        assert is_locked(tmp_path / "run" / "lock")

        def taken() -> None:
            try:
                lock(tmp_path / "run" / "lock")
            except LockedError:
                os._exit(7)

        process = FORK.Process(target=taken)
        process.start()
        process.join()
        assert process.exitcode == 7
    assert not is_locked(tmp_path / "run" / "lock")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be refused as")
def test_a_lock_can_be_asked_for_without_the_right_to_write(tmp_path: Path) -> None:
    create(tmp_path / "run")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)

    def other_user() -> None:
        os.setuid(65534)
        os._exit(7 if is_locked(tmp_path / "run" / "lock") else 8)

    def asked() -> int | None:
        process = FORK.Process(target=other_user)
        process.start()
        process.join()
        return process.exitcode

    assert asked() == 8
    with Run(tmp_path / "run").locked():
        assert asked() == 7
