"""What a trial costs and says: one evaluation, no pictures, its device and precision, which a study has in common."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale import machine
from convscale.nn import Speedups
from convscale.records import DataChoice, PrecisionChoice, TrialRecord, read_record, write_record
from convscale.runs import Run
from convscale.training import precision
from convscale.trials.coordination import run_trials
from convscale.trials.folders import StudyFolder
from convscale.trials.precision import shared_precision, study_of
from convscale.trials.training_work import train_trial
from convscale.trials.trial import Trial
from tests import works
from tests.works import Inline

pytest.importorskip("optuna")

SMALL = cs.network("small-mbconv").at_resolution(8)


def tiny(seed: int = 0, epochs: int = 2) -> Trial:
    network = replace(SMALL, input_channels=1, stages=SMALL.stages[:2])
    recipe = cs.recipe("digits").with_changes(epochs=epochs)
    data = DataChoice(source="digits", train_images=128, test_images=40)
    return Trial(network=network, recipe=recipe, data=data, seed=seed)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor with bfloat16, which is faster in it."""
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: True)
    monkeypatch.setattr(precision, "bf16_speedups", lambda network, batch: Speedups(1.6, 2.4))
    return monkeypatch


def test_a_trial_is_evaluated_once_and_says_what_it_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: False)
    trial = tiny(epochs=3)
    result, run = train_trial(trial, tmp_path / "run"), Run(tmp_path / "run")
    assert [record.top1 is None for record in run.metrics()] == [True, True, False]
    assert run.metrics()[-1].top1 == run.evaluation().top1 == result.accuracy
    assert not (run.path / "pictures").exists() and not (run.path / "best.safetensors").exists()
    assert (result.steps, result.images) == (3 * 128 // trial.recipe.batch, 3 * 128)
    assert (result.device, result.precision) == ("cpu", "fp32") and result.device_seconds > 0


@pytest.mark.long
def test_a_worker_imports_no_matplotlib(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.trials.test_trial_results import tiny
from convscale.trials.training_work import train_trial
import convscale.trials.worker
before = "matplotlib" in sys.modules
train_trial(tiny(epochs=1), Path({str(tmp_path / "run")!r}))
assert "torch" in sys.modules and before == ("matplotlib" in sys.modules)
assert not before, "the test itself imports it"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_first_worker_chooses_for_all(tmp_path: Path, fast: pytest.MonkeyPatch) -> None:
    """Those after it do alike, though their processors would choose otherwise."""
    first, second = tiny(0), tiny(1)
    (one,) = run_trials(tmp_path, [first], Inline(train_trial), quiet=True)
    fast.setattr(machine, "has_fast_bf16", lambda: False)
    one, other = run_trials(tmp_path, [first, second], Inline(train_trial), quiet=True)
    found = read_record(tmp_path / "precision.json")
    assert isinstance(found, PrecisionChoice) and (found.training, found.evaluation) == ("bf16", "bf16")
    for record in (one, other):
        run = Run(tmp_path / record.run)
        assert record.result is not None and record.result.precision == run.recipe().precision == "bf16"
        assert run.settings().evaluation_precision == "bf16"
    assert (one.key, other.key) == (first.key, second.key), "a key is of what was asked for"


def test_a_recipe_that_says_its_precision_has_it(tmp_path: Path, fast: pytest.MonkeyPatch) -> None:
    trial = replace(tiny(), recipe=replace(tiny().recipe, precision="fp32"))
    (record,) = run_trials(tmp_path, [trial], Inline(train_trial), quiet=True)
    assert record.result is not None and record.result.precision == "fp32"
    assert not (tmp_path / "precision.json").exists()


@pytest.mark.parametrize(("device", "known", "expected"), [("", "", "fp32"), ("cpu", "bf16", "bf16"),
                                                           ("an H100", "bf16", "fp32")])  # fmt: skip
def test_a_study_of_before_goes_on_as_it_began(
    tmp_path: Path, fast: pytest.MonkeyPatch, device: str, known: str, expected: str
) -> None:
    result = replace(works.result(0.5), device=device, precision=known)
    folder = StudyFolder(tmp_path).add(tiny())
    record = TrialRecord(key=tiny().key, number=0, result=result, attempts=1, run="trials/0000/attempt-1")
    write_record(folder.path / "record.json", record)
    assert shared_precision(StudyFolder(tmp_path), tiny(1)).training == expected


def test_a_choice_is_never_replaced(tmp_path: Path, fast: pytest.MonkeyPatch) -> None:
    fast.setattr(machine, "has_fast_bf16", lambda: False)
    assert shared_precision(StudyFolder(tmp_path), tiny()).training == "fp32"
    fast.setattr(machine, "has_fast_bf16", lambda: True)
    assert shared_precision(StudyFolder(tmp_path), tiny()).training == "fp32"
    assert [path.name for path in tmp_path.iterdir()] == ["precision.json"]


def test_the_study_of_a_run_is_seen_from_its_place(tmp_path: Path) -> None:
    assert study_of(tmp_path / "trials" / "0003" / "attempt-1") == StudyFolder(tmp_path)
    assert study_of(tmp_path / "run") is None
