"""More epochs after a finished run: a new run that continues it."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import convscale as cs
from convscale.errors import ConfigError, DataError, RunError, TrainingStopped
from convscale.files import read_json
from convscale.fitting import Fit
from convscale.nn.processes import Processes
from convscale.recipes import Augmentation, Recipe
from convscale.report.fits import fit_record, summary_lines
from convscale.runs import Run
from convscale.training.continuing import continuation
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper
from tests.cli.calling import run, run_json
from tests.training.small_runs import LIVELY, PROBE, few, same_weights, state_of, tensors, trained, tuned

PLAIN = Recipe(
    note="a test", epochs=2, batch=16, learning_rate=0.02, warmup_epochs=1, augmentation=Augmentation(crop="shift")
)


@pytest.fixture(scope="module")
def before(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    path = tmp_path_factory.mktemp("before") / "net-1"
    trained(photos, path, PLAIN)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_run_continues_the_finished_one(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = contents(before)
    more, evaluation = cs.resume(before, epochs=3)
    assert more.path == before.parent / "net-2" and contents(before) == kept, "the other stays as it was"
    result, settings, old = more.result(), more.settings(), Run(before).settings()
    assert result is not None and (result.epochs, result.steps) == (3, 3 * (72 // 16)) and evaluation.n == 18
    assert settings.continues == settings.weights == str(before) and settings.epochs_before == 2
    assert (settings.seed, settings.pictures) == (old.seed, old.pictures) == (3, False)
    recipe = more.recipe()
    assert recipe == replace(PLAIN, epochs=3, warmup_epochs=1.5), "its whole course over the new epochs"
    assert settings.changed == ("epochs 2 -> 3", "warmup_epochs 1.0 -> 1.5")
    story = more.story()
    assert story is not None and story.command == f"convscale.resume({str(before)!r}, epochs=3)"
    start = story.decision("weights")
    assert start is not None and start.choice == str(before) and start.why == "this run continues it, after 2 epochs"
    assert more.data() == Run(before).data() and more.network() == Run(before).network()
    assert not same_weights(before, more.path)
    err = capsys.readouterr().err
    assert f"3 more epochs after 2 of {before}" in err and f"run {more.path}" in err and "epoch 3/3" in err
    shutil.rmtree(more.path)


def test_it_starts_from_the_weights_in_another_order(before: Path) -> None:
    ahead = continuation(before, 1, data=None, changes=(), command="")
    job = make_job(ahead.network, ahead.dataset, ahead.recipe, Run(before), ahead.settings)
    state = make_state(job, Processes())
    weights = tensors(before)
    assert all(torch.equal(value, weights[name]) for name, value in state.model.state_dict().items())
    assert not state.optimizer.state and state.position.seed != ahead.settings.seed == 3
    again = replace(ahead.settings, epochs_before=5)
    assert make_state(replace(job, settings=again), Processes()).position.seed != state.position.seed


def test_a_continued_run_is_continued(before: Path, tmp_path: Path) -> None:
    first, _ = cs.resume(before, epochs=1, output=tmp_path / "a", quiet=True)
    second, _ = cs.resume(first.path, epochs=2, output=tmp_path / "b", set=["learning_rate=0.01"], quiet=True)
    settings = second.settings()
    assert settings.continues == str(first.path) and settings.epochs_before == 3
    assert second.recipe().learning_rate == 0.01 and second.recipe().epochs == 2
    assert settings.changed == ("learning_rate 0.02 -> 0.01",)
    found = cs.evaluate(second.path, Run(before).data().source)  # type: ignore[union-attr]
    assert found.top1 == second.evaluation().top1


def test_interrupted_it_ends_in_the_same_bits(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = cs.resume(before, epochs=2, output=tmp_path / "whole", quiet=True)
    take = Stepper.take

    def stopping(self: Stepper, batch):  # type: ignore[no-untyped-def]
        if self.state.position.total_steps == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "take", stopping)
        with pytest.raises(TrainingStopped):
            cs.resume(before, epochs=2, output=tmp_path / "cut", quiet=True)
    cs.resume(tmp_path / "cut", quiet=True)
    assert state_of(tmp_path / "cut") == state_of(whole.path)


def test_averages_head_epochs_and_patience(photos: Path, tmp_path: Path) -> None:
    """The kept weights are the average; the classifier is not trained alone again; the same images judge."""
    lively = replace(LIVELY, epochs=2, head_epochs=1, warmup_epochs=0, patience=1, validation_share=0.2)
    trained(photos, tmp_path / "run", lively)
    ahead = continuation(tmp_path / "run", 2, data=None, changes=(), command="")
    assert ahead.recipe.head_epochs == 0 and ahead.recipe.ema_decay == 0.99
    more, _ = cs.resume(tmp_path / "run", epochs=2, quiet=True)
    assert more.path == tmp_path / "run-1"
    job = make_job(ahead.network, ahead.dataset, ahead.recipe, more, ahead.settings)
    old = make_job(ahead.network, ahead.dataset, lively, more, Run(tmp_path / "run").settings())
    assert job.validation is not None and old.validation is not None
    assert [job.validation.name(i) for i in range(3)] == [old.validation.name(i) for i in range(3)]


def test_what_cannot_be_continued(before: Path, weights: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        cs.resume(tmp_path / "none", epochs=1)
    with pytest.raises(ConfigError, match="epochs 0 is not allowed"):
        cs.resume(before, epochs=0, quiet=True)
    with pytest.raises(ConfigError, match="give epochs too"):
        cs.resume(before, output=tmp_path / "out")
    with pytest.raises(RunError, match="not empty"):
        cs.resume(before, epochs=1, output=before, quiet=True)
    with pytest.raises(DataError, match="not the data that"):
        cs.resume(before, epochs=1, data=few(), quiet=True)
    cut = tmp_path / "cut"
    shutil.copytree(before, cut)
    (cut / "result.json").unlink()
    with pytest.raises(ConfigError, match=r"not finished.*first: convscale resume .*cut"):
        cs.resume(cut, epochs=1)
    shutil.copytree(before, tmp_path / "light")
    Run(tmp_path / "light").remove_weights()
    with pytest.raises(ConfigError, match="its weights were not kept"):
        cs.resume(tmp_path / "light", epochs=1)
    tuned(weights, tmp_path / "probe", PROBE)
    with pytest.raises(ConfigError, match=r"linear probe is already fully fitted.*--recipe finetune"):
        cs.resume(tmp_path / "probe", epochs=1)
    assert not (tmp_path / "probe-1").exists(), "nothing is left of what was refused"


def test_the_command(before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "resume", before, "--epochs", 1, "-o", tmp_path / "more")
    assert found["run"] == str(tmp_path / "more") and found["epochs"] == 1
    story = Run(tmp_path / "more").story()
    assert story is not None and story.command.startswith("convscale resume ") and "--epochs 1" in story.command
    code, out, _ = run(capsys, "show", tmp_path / "more")
    assert code == 0 and f"from {before}, which this run continues" in " ".join(out.split())
    code, _, err = run(capsys, "resume", before, "-o", tmp_path / "other")
    assert code == 2 and "--epochs" in err


@pytest.mark.long
def test_a_fit_is_continued_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted: Fit = cs.fit(
        "digits", cs.Budget(macs="200k"), epochs=1, batch=128, output=tmp_path / "fit", quiet=True
    )  # fmt: skip
    code, out, _ = run(capsys, "resume", fitted.run.path, "--epochs", 2)
    more = Run(tmp_path / "fit-1")
    record = fit_record(more)
    assert code == 0 and record is not None and out.splitlines() == summary_lines(record)
    assert out.splitlines()[:5] == fitted.summary()[:5] and f", after 1 of {fitted.run.path}" in out
    assert record.continues == str(fitted.run.path) and read_json(more.path / "fit.json")["epochs_before"] == 1
    assert more.plan() == fitted.plan
