"""Trials: each is recorded once, whatever comes of it; their images, their settings and how far each is."""

from __future__ import annotations

import json
import math
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import convscale as cs
from convscale.errors import ConfigError, RunError
from convscale.files import read_toml
from convscale.records import DataChoice, EpochRecord, FactorCurve, StudySpec, flat
from convscale.runs import ProgressFile, ProgressRecord, Run
from convscale.studies.running import read_spec
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Attempt, Ended
from convscale.trials.folders import StudyFolder, hold_study, require_same_settings
from convscale.trials.local import LocalExecutor
from convscale.trials.status import study_status
from convscale.trials.training_work import choose_images, fingerprint_of, train_trial
from convscale.trials.trial import Trial, TrialResult
from tests import works
from tests.trials.small_trials import FAULTS, accuracies, short, stored, trials
from tests.works import Inline, quick, records_of

pytest.importorskip("optuna")

EPOCH: dict[str, Any] = {
    "learning_rate": 0.1, "train_loss": 1.0, "gradient_norm": 1.0, "top1": 0.25, "seconds": 1.0, "data_seconds": 0.1,
    "forward_seconds": 0.1, "backward_seconds": 0.1, "optimizer_seconds": 0.1, "images_per_second": 100.0,
}  # fmt: skip

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


def folder_of(root: Path, side: int = 8, prefix: str = "") -> str:
    """Images of two classes, always the same of a size."""
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for index in range(5):
            Image.new("RGB", (side, side), (0, index, 0)).save(root / name / f"{prefix}{index}.png")
    return str(root)


def test_a_key_is_of_the_images_and_not_of_their_place(tmp_path: Path) -> None:
    (trial,) = trials(1)

    def at(source: str, **changes: Any) -> Trial:
        data = DataChoice(source=source, **changes)
        return replace(trial, data=data, images=fingerprint_of(data))

    here, there = at(folder_of(tmp_path / "here")), at(folder_of(tmp_path / "moved" / "there"))
    assert here.key == there.key and here.key_by_source != there.key_by_source
    assert at(here.data.source, layout="classes").key == at(here.data.source, train_images=8).key == here.key
    others = [
        here,
        at(folder_of(tmp_path / "other", prefix="other")),
        at(folder_of(tmp_path / "larger", side=16)),
        at(here.data.source, train_images=4),
        at(here.data.source, seed=1),
        at(here.data.source, stored_range=(0.0, 100.0)),
        replace(here, seed=1),
        replace(here, images=""),
    ]
    assert len({one.key for one in others}) == len(others)
    assert replace(here, images="").key == here.key_by_source


def test_an_image_that_cannot_be_read_takes_no_part_in_a_key(tmp_path: Path) -> None:
    source = DataChoice(source=folder_of(tmp_path / "images"))
    assert len(fingerprint_of(source)) == 64
    (tmp_path / "images" / "b" / "4.png").write_bytes(b"")
    choose_images.cache_clear()
    fingerprint_of.cache_clear()
    assert len(fingerprint_of(source)) == 64


def test_a_folder_from_before_the_fingerprint_is_taken_up(tmp_path: Path) -> None:
    before = trials(3)
    run_trials(tmp_path, before, Inline(), quiet=True)
    for folder in StudyFolder(tmp_path).trials():
        text = (folder.path / "trial.toml").read_text()
        (folder.path / "trial.toml").write_text(text.replace('images = ""\n', "", 1))
        assert "images" not in read_toml(folder.path / "trial.toml")
    executor, images = Inline(), fingerprint_of(before[0].data)
    records = run_trials(tmp_path, [replace(one, images=images) for one in trials(4)], executor, quiet=True)
    assert accuracies(records) == [0.5, 0.501, 0.502, 0.503] and len(executor.started) == 1


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


@pytest.mark.long
@pytest.mark.parametrize("count", [200 if FAULTS else 60])
def test_many_short_trials_on_many_workers_are_recorded_once_each(tmp_path: Path, count: int) -> None:
    with closing(LocalExecutor(8, work=quick)) as executor:
        records = run_trials(tmp_path, trials(count), executor, quiet=True)
    assert accuracies(records) == [0.5 + seed / 1000 for seed in range(count)]
    assert sorted(int(str(one["number"])) for one in records_of(tmp_path)) == list(range(count))
    assert sorted(trial.value for trial in stored(tmp_path)) == sorted(accuracies(records))  # type: ignore[type-var]


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
        for epoch in (1, 2):
            Run(begun.attempt(1)).append_metrics(EpochRecord(epoch=epoch, steps=30 * epoch, **EPOCH))
        states = study_status(tmp_path)
    assert (states[3].epoch, states[3].steps, states[3].accuracy) == (2, 60, 0.25)
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


def test_a_run_that_was_killed_before_it_was_one_begins_anew(tmp_path: Path) -> None:
    run = tmp_path / "attempt-1"
    run.mkdir()
    (run / "network.toml").write_text("half")
    ended: TrialResult = train_trial(short(epochs=1), run)
    assert 0 < ended.accuracy < 1 and ended.steps == 10
