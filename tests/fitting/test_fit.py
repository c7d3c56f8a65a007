"""A fit from the user's seat: what it says before it trains, without training, and after an interruption."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.cli import main as cli_main
from convscale.errors import RunError, TrainingStopped
from convscale.fitting import Fit
from convscale.report.fits import fit_record, summary_lines
from convscale.report.plans import law_in_words
from convscale.runs import Run
from convscale.training.step import Outcome, Stepper
from tests.cli.calling import run, run_json
from tests.images import digit_photos

QUICK = ("--epochs", "1", "--batch", "128")
FIT = ("fit", "digits", "--macs", "200k", *QUICK)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """The fit that nothing interrupted."""
    folder = tmp_path_factory.mktemp("fitted") / "run"
    return cs.fit("digits", cs.Budget(macs="200k"), epochs=1, batch=128, output=folder, quiet=True)


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def without_times(lines: list[str], path: Path) -> list[str]:
    """What does not change from one run to the next."""
    return [re.sub(r" in [\d.]+m?s", "", line).replace(str(path), "RUN") for line in lines]


@pytest.mark.long
def test_a_dry_run_says_what_it_would_be_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fitted: Fit
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *FIT, "--dry-run")
    assert code == 0 and "epoch 1/1" not in err
    lines = out.splitlines()
    assert lines[:5] == fitted.summary()[:5] and lines[5] == f"run        {Path('runs/digits-1')}"
    assert [line.split()[0] for line in lines[6:]] == ["steps", "time", "memory", "disk"]
    assert all(line[10] == " " and line[11] != " " for line in lines), "one column"
    found = run_json(capsys, *FIT, "--dry-run")
    assert found["run"] == "runs/digits-1" and found["used"]["macs"] <= 1 and found["notes"] == []
    assert found["data"]["train_images"] == 1438 and found["estimate"]["steps"] == 11 and found["epochs"] == 1
    assert found["estimate"]["seconds"] > 0 and found["estimate"]["memory_bytes"] > 0
    for key in ("baseline", "reason", "recipe", "law", "phi", "scaling", "cost", "binding"):
        assert found[key] == fitted.as_dict()[key]
    assert everything(tmp_path) == []


def test_a_dry_run_names_the_folder_that_fit_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "digits-1").mkdir(parents=True)
    planned = cs.plan_fit("digits", cs.Budget(macs="200k"), epochs=1, batch=128)
    assert planned.run == "runs/digits-2" and "runs/digits-2" in repr(planned)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RunError, match="not empty"):
        cs.plan_fit("digits", cs.Budget(macs="200k"), output="full").estimate()


def test_the_summary_is_read_from_the_folder(fitted: Fit) -> None:
    record = fit_record(fitted.run)
    assert record == fitted.record == cs.read_record(fitted.run.path) and summary_lines(record) == fitted.summary()
    assert fitted.epochs == 1 and fitted.training_seconds == record.training_seconds


def stop_itself(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The training is sent a SIGTERM in its step number `step`, from 0."""
    take = Stepper.take

    def fatal(self: Stepper, batch: Any) -> Outcome:
        if self.state.position.total_steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", fatal)


def test_resume_ends_as_an_uninterrupted_fit_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fitted: Fit
) -> None:
    path = tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_itself(patched, 4)
        with pytest.raises(TrainingStopped):
            cs.fit("digits", cs.Budget(macs="200k"), epochs=1, batch=128, output=path, quiet=True)
    left = Run(path)
    plan = left.plan()
    assert left.result() is None and plan is not None and plan.budget == fitted.plan.budget
    assert plan.law == fitted.plan.law and fit_record(left) is None and not (path / "fit.json").exists()
    code, out, _ = run(capsys, "resume", path)
    assert code == 0
    assert without_times(out.splitlines(), path) == without_times(fitted.summary(), fitted.run.path)
    assert cs.read_record(path / "fit.json") == fit_record(left)
    assert left.result().state_sha256 == fitted.run.result().state_sha256  # type: ignore[union-attr]
    assert run(capsys, "resume", path)[1] == out, "and again, of a run that is done"
    assert run_json(capsys, "resume", path)["run"] == str(path)


def test_a_run_that_was_not_planned_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ("train", "small-resnet", "--resolution", "8", "--data", "digits", "--recipe", "digits", *QUICK)
    assert run(capsys, *train, "--no-pictures", "-o", tmp_path / "run")[0] == 0
    code, out, _ = run(capsys, "resume", tmp_path / "run")
    assert code == 0 and out.count("\n") == 1 and out.startswith("top-1 ")
    assert not (tmp_path / "run" / "fit.json").exists()


@pytest.mark.parametrize(
    ("macs", "wanted"),
    [
        ("10M", r"efficientnet-b0 made 3\d(\.\d)? times smaller \(MACs\): 16 -> \d+ blocks"),
        ("1G", r"efficientnet-b0 made 2\.\d\d times larger \(MACs\)"),
        ("100G", r"efficientnet-b0 made 2\d\d times larger"),
        (386_000_000, r"efficientnet-b0 at about its own size \(MACs\)"),
    ],
)
def test_phi_in_words(macs: str | float, wanted: str) -> None:
    planned = cs.plan(cs.network("efficientnet-b0"), cs.Budget(macs=macs))
    words = law_in_words(planned)
    assert re.search(wanted, words), words
    assert words.startswith(f"compound, phi {planned.chosen.phi:.2f}: ")


def test_weights_in_words() -> None:
    network = cs.network("mobilenet-v2")
    smaller = law_in_words(cs.plan_resolution(network, cs.Budget(macs="100M")))
    assert smaller == "resolution: mobilenet-v2 at 128 px instead of 224, 3.04 times fewer MACs"
    whole = cs.plan_resolution(network, cs.Budget(macs="1G"))
    assert law_in_words(whole) == "resolution: mobilenet-v2 at its own 224 px"


def test_what_is_not_used_is_said_once_and_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "test", "extra"):
        digit_photos(tmp_path / "data" / part, 8)
    (tmp_path / "data" / "extra" / "film.mov").touch()
    argv = ["fit", str(tmp_path / "data"), "--macs", "300k", *QUICK, "-o", str(tmp_path / "run")]
    assert cli_main.run(argv) == 0
    err = capsys.readouterr().err
    assert err.startswith("note: not used: extra (24 images of no split)\nnote: 1 file not read: .mov (1)\ndata       ")
    assert err.count("not used") == 1 and "of no split: " not in err
    found = json.loads(_out(capsys, "data", "check", tmp_path / "data", "--json"))
    assert {row["kind"]: row["count"] for row in found["not_used"]} == {"image of no split": 24, ".mov": 1}


def test_a_note_that_says_more_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test folder without labels: notes on the data come before the training, too."""
    digit_photos(tmp_path / "data" / "train", 8)
    (tmp_path / "data" / "test").mkdir()
    cs.open_dataset("digits").test.image(0).save(tmp_path / "data" / "test" / "0.png")
    argv = ["fit", str(tmp_path / "data"), "--macs", "300k", *QUICK, "-o", str(tmp_path / "run")]
    assert cli_main.run(argv) == 0
    err = capsys.readouterr().err
    assert err.startswith("note: test: not used, its images have no label: they are in no class folder\ndata       ")
    assert err.count("not used") == 1


def _out(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    return out
