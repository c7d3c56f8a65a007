"""A run folder tells its whole story: what it keeps, what `show` and `runs` make of it, and its progress."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.cli import main as cli_main
from convscale.errors import NotFiniteError, RunError, TrainingStopped
from convscale.fitting import Fit
from convscale.recipes import LBFGS, Recipe
from convscale.report.runs import describe_run
from convscale.runs import ProgressFile, ProgressRecord, Run, format_call, list_runs, read_progress, run_state
from convscale.runs.progress import SECONDS_BETWEEN_WRITES
from convscale.training.step import Stepper

TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(note="a test", epochs=2, batch=64, learning_rate=0.05)
KEYS = {
    "path", "data", "network", "budget", "macs", "params", "top1", "interval95", "state", "started", "seconds",
}  # fmt: skip
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    folder = tmp_path_factory.mktemp("fitted") / "runs" / "one"
    return cs.fit("digits", cs.Budget(macs="300k", params="60k"), epochs=1, output=folder, seed=5, quiet=True)


def command(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert cli_main.run([str(word) for word in words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def forked(work: Callable[[], object]) -> int | None:
    process = FORK.Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def killed(run: Path, number: int = signal.SIGKILL) -> None:
    """A training of `run` that a signal ends at its step 30, in the second epoch."""

    def child() -> None:
        take = Stepper.take

        def fatal(self: Stepper, batch: Any) -> Any:
            if self.state.position.total_steps == 30:
                os.kill(os.getpid(), number)
            return take(self, batch)

        Stepper.take = fatal  # type: ignore[method-assign]
        cs.train(TINY, "digits", QUICK, run, pictures=False, quiet=True)

    assert forked(child) != 0


def test_a_run_keeps_its_plan_and_its_story(fitted: Fit) -> None:
    run, story = fitted.run, fitted.run.story()
    assert run.plan() == fitted.plan
    assert story is not None and story.started.startswith("20") and story.started.endswith("+00:00")
    call = "convscale.fit('digits', convscale.Budget(macs=300000.0, params=60000.0), epochs=1, output="
    assert story.command == f"{call}{str(run.path)!r}, seed=5)"
    choices = {one.what: one for one in story.decisions}
    assert choices["baseline"].choice == "small-mbconv-16px" and "about 8 px" in choices["baseline"].why
    assert choices["recipe"].choice == "digits" and "about 8 px" in choices["recipe"].why
    assert choices["resolution"].choice == f"{fitted.plan.network.resolution} px"
    assert "epochs 16 -> 1" in choices["changes to the recipe"].choice
    assert choices["held-out images"].choice.startswith("359") and "seed 5" in choices["held-out images"].why
    assert choices["weights"].choice == "drawn by seed 5" and "images a step" in choices["batch"].choice


def test_a_plan_of_weights_is_read_back(fitted: Fit, tmp_path: Path) -> None:
    """One that has no naive proposal."""
    tuned = cs.fit(
        "digits", cs.Budget(macs="250k"), weights=fitted.run.path, epochs=1, output=tmp_path / "run", quiet=True
    )
    assert tuned.plan.naive is None and tuned.run.plan() == tuned.plan
    story = tuned.run.story()
    assert story is not None and story.decision("weights").choice == str(fitted.run.path)  # type: ignore[union-attr]
    assert "up to that of the weights" in story.decision("resolution").why  # type: ignore[union-attr]
    text = "\n".join(describe_run(tuned.run))
    assert f"weights    from {fitted.run.path}" in text and "law        resolution" in text


@pytest.mark.long
def test_a_story_of_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "not-to-be-kept")
    command(capsys, "train", TINY.name, "--resolution", "8", "--data", "digits", "--recipe", "digits", "--epochs", "1",
            "--set", "weight_decay=1e-3", "-o", "a run")  # fmt: skip
    run = Run(Path("a run"))
    story = run.story()
    assert story is not None and run.plan() is None
    assert story.command == (
        f"convscale train {TINY.name} --resolution 8 --data digits --recipe digits --epochs 1 --set weight_decay=1e-3 "
        "-o 'a run'"
    )
    assert story.decision("recipe").choice == "digits"  # type: ignore[union-attr]
    assert "weight_decay" in story.decision("changes to the recipe").choice  # type: ignore[union-attr]
    assert not any("not-to-be-kept" in path.read_text() for path in run.path.glob("*.json"))
    assert "convscale predict 'a run' IMAGE..." in command(capsys, "show", "a run")
    cs.train(TINY, "digits", replace(QUICK, epochs=1), "called", quiet=True, seed=2)
    called = Run(Path("called")).story()
    assert called is not None and called.command == f"convscale.train('{TINY.name}', 'digits', ..., 'called', seed=2)"


def test_calls_are_written_as_they_are_typed() -> None:
    budget = cs.Budget(macs="5M", file_bytes="20MB")
    written = format_call("f", "it's", Path("a/b"), budget, TINY, one=None, two=1.5, three=("a=1", "b=2"), four=True)
    names = "convscale.Budget(macs=5000000.0, file_bytes=20000000.0)"
    assert written == f"""f("it's", 'a/b', {names}, ..., two=1.5, three=['a=1', 'b=2'], four=True)"""


def test_show_tells_a_run_in_a_screen(fitted: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    path, network = fitted.run.path, fitted.plan.network
    text = command(capsys, "show", path)
    lines = text.splitlines()
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines if str(path) not in line)
    low, high = fitted.evaluation.interval95
    for wanted in (
        f"top-1 {fitted.evaluation.top1:.4f} (95% interval {low:.4f} to {high:.4f})", f"{network.resolution} px",
        "blocks (", "channels", "params", "MACs", "small-mbconv-16px: images are about 8 px", "compound, phi",
        "of macs 300k", "of params 60k", "digits: 1,438 training images; 359 held out", "digits: 1 epoch, batch 32",
        "changed: epochs 16 -> 1", "finished, started 20", "1 epoch in", "convscale predict", "convscale eval",
        "classes    0, 1, 2", f"convscale show {path / 'network.toml'}",
    ):  # fmt: skip
        assert wanted in " ".join(text.split()) or wanted in text, wanted
    assert "receptive field" in command(capsys, "show", path / "network.toml")
    assert "receptive field" in command(capsys, "show", path, "--resolution", 24)
    shown = json.loads(command(capsys, "show", path, "--json"))
    assert set(shown) == {"name", "resolution", "stages", "weights", "run"}
    assert shown["stages"] == json.loads(command(capsys, "show", path / "network.toml", "--json"))["stages"]
    assert shown["run"]["command"].startswith("convscale.fit(") and shown["run"]["state"] == "finished"
    assert set(shown["run"]) >= KEYS and shown["run"]["used"] == fitted.plan.chosen.used


def test_runs_of_before_are_shown_and_listed(fitted: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have no story, plan or progress."""
    old = tmp_path / "old"
    shutil.copytree(fitted.run.path, old)
    for name in ("story.json", "plan.json", "progress.json", "preprocessing.toml"):
        (old / name).unlink()
    text = command(capsys, "show", old)
    assert "top-1" in text and "budget" not in text and "command" not in text
    (row,) = list_runs(tmp_path)
    assert row.state == "finished" and row.budget is None and row.started is not None
    assert row.interval95 == fitted.evaluation.interval95
    assert read_progress(old) is None
    shown = json.loads(command(capsys, "show", old, "--json"))
    assert shown["run"]["command"] == "" and shown["run"]["progress"] is None


@pytest.mark.long
def test_a_list_of_runs(fitted: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(fitted.run.path, tmp_path / "deep" / "er" / "one")
    shutil.copytree(fitted.run.path, tmp_path / "study" / "trials" / "0000" / "attempt-1")
    (tmp_path / "study" / "trials" / "0000" / "trial.toml").write_text("")
    shutil.copytree(fitted.run.path, tmp_path / "deep" / "er" / "one" / "search" / "001")
    killed(tmp_path / "left")
    killed(tmp_path / "asked", signal.SIGTERM)
    with pytest.raises(NotFiniteError):
        cs.train(
            TINY,
            "digits",
            replace(QUICK, learning_rate=900.0, gradient_clip=0),
            tmp_path / "bad",
            pictures=False,
            quiet=True,
        )
    rows = {Path(row.path).relative_to(tmp_path).as_posix(): row for row in list_runs(tmp_path)}
    states = {name: row.state for name, row in rows.items()}
    assert states == {"deep/er/one": "finished", "left": "interrupted", "asked": "interrupted", "bad": "failed"}
    assert "not finite" in rows["bad"].reason or "loss" in rows["bad"].reason
    assert rows["left"].top1 == Run(tmp_path / "left").metrics()[-1].top1 and rows["left"].interval95 is None
    assert rows["deep/er/one"].budget == {"macs": 300_000, "params": 60_000}
    assert rows["deep/er/one"].macs == fitted.plan.chosen.cost.macs
    assert len(list_runs(tmp_path, attempts=True)) == 6
    with Run(tmp_path / "left").locked():
        assert run_state(Run(tmp_path / "left")) == "running"
    printed = json.loads(command(capsys, "runs", tmp_path, "--json"))
    assert set(printed) == {"runs"} and all(set(row) == KEYS for row in printed["runs"])
    assert len(json.loads(command(capsys, "runs", tmp_path, "--all", "--json"))["runs"]) == 6
    text = command(capsys, "runs", tmp_path)
    assert "interrupted" in text and "failed" in text and "finished" in text
    for name, state in states.items():
        wanted = {"finished": "convscale predict", "interrupted": "convscale resume", "failed": "convscale resume"}
        assert f"next       {wanted[state]} {tmp_path / name}" in command(capsys, "show", tmp_path / name)


DAMAGES: list[Callable[[Path], object]] = [
    lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    lambda file: file.write_bytes(b"\xff\xfe\x00garbage"),
    lambda file: file.write_text("[]"),
    lambda file: file.write_text('{"format_version": 1}'),
    lambda file: (file.unlink(), file.mkdir()),
    lambda file: file.unlink(),
]


@pytest.mark.parametrize("damage", range(len(DAMAGES)))
def test_a_damaged_folder_never_breaks_the_list(
    fitted: Fit, tmp_path: Path, damage: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [path.name for path in fitted.run.path.iterdir() if path.suffix in (".json", ".toml", ".jsonl")]
    assert len(names) >= 11
    for name in names:
        shutil.copytree(fitted.run.path, tmp_path / name)
        DAMAGES[damage](tmp_path / name / name)
    shutil.copytree(fitted.run.path, tmp_path / "well")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "environment.json").write_text('{"dependencies": []}')
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "environment.json").write_text('{"format_version": 99}')
    rows = {Path(row.path).name: row for row in list_runs(tmp_path)}
    assert set(rows) >= {"well", "foreign", "newer", *names}
    assert rows["well"].state == "finished"
    assert rows["newer"].state == "damaged" and "newer" in rows["newer"].reason
    assert all(row.reason for row in rows.values() if row.state == "damaged")
    assert rows["network.toml"].state == "damaged" and rows["environment.json"].state in ("damaged", "finished")
    text = command(capsys, "runs", tmp_path)
    assert f"{tmp_path / 'newer'}: damaged: " in text
    assert len(json.loads(command(capsys, "runs", tmp_path, "--json"))["runs"]) == len(rows)


def test_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(command(capsys, "runs", "--json")) == {"runs": []}
    assert command(capsys, "runs", ".") == "no runs in .\n"
    assert cli_main.run(["runs", "nowhere"]) == 2
    with pytest.raises(RunError, match="no such folder"):
        list_runs("nowhere")


def test_another_process_watches_a_training(tmp_path: Path) -> None:
    """What it reads is whole at any time, moves on, and names the process that trains."""
    run = tmp_path / "run"
    child = FORK.Process(
        target=lambda: cs.train(
            TINY, "digits", replace(QUICK, epochs=40, batch=16), run, quiet=True, checkpoint_seconds=999.0
        )
    )
    child.start()
    seen: list[ProgressRecord] = []
    while child.is_alive() and len({one.step for one in seen}) < 4:
        if (run / "progress.json").exists():
            found = read_progress(run)
            assert found is not None
            seen.append(found)
            if run_state(Run(run)) == "running":
                (row,) = list_runs(tmp_path)
                assert row.state == "running"
        time.sleep(0.02)
    os.kill(child.pid or 0, signal.SIGTERM)
    child.join()
    assert {one.pid for one in seen} == {child.pid}
    steps = [one.step for one in seen]
    assert steps == sorted(steps) and steps[-1] > steps[0]
    assert {one.total_steps for one in seen} == {40 * 89} and {one.epochs for one in seen} == {40}
    assert seen[-1].seconds_left is not None and seen[-1].seconds_left > 0
    assert any(one.images_per_second for one in seen) and {one.state for one in seen} <= {"training", "evaluating"}
    last = read_progress(Run(run))
    assert last is not None and last.state == "interrupted" and "SIGTERM" in last.reason
    assert last.step >= seen[-1].step and run_state(Run(run)) == "interrupted"


def records_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ProgressRecord]]:
    """All that is written from now on, with the name of the run; whenever a step ends."""
    written: list[tuple[str, ProgressRecord]] = []
    real = ProgressFile.write

    def write(self: ProgressFile, record: ProgressRecord) -> None:
        real(self, record)
        written.append((self._file.parent.name, record))

    monkeypatch.setattr(ProgressFile, "write", write)
    monkeypatch.setattr("convscale.runs.progress.SECONDS_BETWEEN_WRITES", 0.0)
    return written


@pytest.mark.long
def test_progress_of_steps_evaluations_features_and_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = records_of(monkeypatch)
    cs.train(TINY, "digits", QUICK, tmp_path / "steps", pictures=False, quiet=True)
    assert {record.state for _, record in written} == {"training", "evaluating", "finished"}
    assert {record.step for _, record in written} == set(range(45)) and written[-1][1].state == "finished"
    assert {record.epoch for _, record in written} == {1, 2}
    written.clear()
    probe = Recipe(note="a probe", epochs=1, batch=64, learning_rate=1.0, trainable="head", optimizer=LBFGS())
    cs.train(TINY, "digits", probe, tmp_path / "probe", pictures=False, quiet=True)
    features = [record for _, record in written if record.state == "features"]
    assert max(record.total_steps for record in features) == 1438 and features[-1].total_steps == 359
    assert max(record.step for record in features) > 359
    written.clear()
    cs.train(
        TINY, "digits", replace(QUICK, epochs=1).searching(2, 1), tmp_path / "searched", pictures=False, quiet=True
    )
    searched = {record.state for name, record in written if name == "searched"}
    assert searched == {"searching", "training", "evaluating", "finished"}
    assert {name for name, _ in written} == {"searched", "001", "002"}
    assert read_progress(tmp_path / "searched").state == "finished"  # type: ignore[union-attr]


@pytest.mark.long
def test_progress_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said once, though it fails a hundred times."""
    failed = records_of(monkeypatch)

    def full(path: Path, value: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("convscale.runs.progress.write_record", full)
    run, evaluation = cs.train(TINY, "digits", QUICK, tmp_path / "run")
    assert run.result() is not None and evaluation.n == 359 and len(failed) > 40
    events = [json.loads(line)["event"] for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert events == [f"{run.path / 'progress.json'}: cannot be written: No space left on device"]
    assert capsys.readouterr().err.count("progress.json") == 1
    assert not (run.path / "progress.json").exists() and not list(run.path.glob(".*"))


def test_progress_is_written_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for where a training begins and ends, however short its steps are."""
    written, real = [], ProgressFile.write

    def counted(self: ProgressFile, record: ProgressRecord) -> None:
        written.append(record.step)
        real(self, record)

    monkeypatch.setattr(ProgressFile, "write", counted)
    started = time.monotonic()
    cs.train(TINY, "digits", QUICK, tmp_path / "run", pictures=False, quiet=True)
    assert 2 <= len(written) <= 2 + (time.monotonic() - started) / SECONDS_BETWEEN_WRITES


def test_a_stop_is_told_from_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Stepper.take

    def stop(self: Stepper, batch: Any) -> Any:
        if self.state.position.total_steps == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stop)
    with pytest.raises(TrainingStopped):
        cs.train(TINY, "digits", QUICK, tmp_path / "run", pictures=False, quiet=True)
    progress = read_progress(tmp_path / "run")
    assert progress is not None and progress.state == "interrupted" and progress.step == 31
    monkeypatch.undo()
    cs.resume(tmp_path / "run", quiet=True)
    assert read_progress(tmp_path / "run").state == "finished"  # type: ignore[union-attr]
