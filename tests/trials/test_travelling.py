"""Finished trials travel as a file: checked, counted, and never in place of what is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convscale.errors import ConfigError, RunError
from convscale.formats import FORMAT_VERSION
from convscale.records import DataChoice
from convscale.trials.coordination import run_trials
from convscale.trials.finished import read_finished
from convscale.trials.folders import StudyFolder, hold_study
from convscale.trials.status import study_status
from convscale.trials.taking import FinishedTrials, export_finished
from convscale.trials.trial import Trial, TrialResult
from tests import works
from tests.trials.small_trials import accuracies, stored
from tests.trials.small_trials import trials as trials_from_before
from tests.works import Inline, quick

pytest.importorskip("optuna")


IMAGES = "a" * 64


def trials(count: int) -> list[Trial]:
    return [replace(trial, images=IMAGES) for trial in trials_from_before(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The records of a study of three trials."""
    run_trials(tmp_path / "home", trials(3), Inline(), quiet=True)
    assert export_finished(tmp_path / "home", tmp_path / "records.jsonl") == (3, 3)
    return tmp_path / "records.jsonl"


def take(folder: Path, asked: list[Trial], *files: Path) -> FinishedTrials:
    finished = FinishedTrials(files)
    with hold_study(folder) as study:
        finished.take(study, asked)
        finished.report()
    return finished


def better(trial: Trial, run: Path) -> TrialResult:
    works.begin(run)
    return works.result(0.9 + trial.seed / 1000)


def changed(file: Path, change: dict[str, Any], line: int = 0) -> None:
    """Change values of a line; a dict changes values within one."""
    lines = file.read_text().splitlines()
    table = json.loads(lines[line])
    for name, value in change.items():
        table[name] = table[name] | value if isinstance(value, dict) else value
    lines[line] = json.dumps(table)
    file.write_text("\n".join(lines) + "\n")


# There and back


def test_what_was_taken_is_not_trained_and_goes_on_to_others(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = tmp_path / "away"
    take(away, trials(5)[1:], file)
    assert "records.jsonl: 2 finished trials taken, 1 of no trial of this study" in capsys.readouterr().err
    executor = Inline()
    records = run_trials(away, trials(5)[1:], executor, quiet=True)
    assert [attempt.trial.seed for attempt in executor.started] == [3, 4]
    assert accuracies(records) == [0.501, 0.502, 0.503, 0.504]
    assert [(one.taken_from, one.attempts, one.run) for one in records[:2]] == [("records.jsonl", 0, "")] * 2
    assert [one.number for one in records] == [0, 1, 2, 3]
    assert [one.taken_from for one in study_status(away)] == ["records.jsonl"] * 2 + [""] * 2
    assert {one.state for one in study_status(away)} == {"finished"}
    assert sorted(one.value for one in stored(away)) == [0.501, 0.502, 0.503, 0.504]
    before = file.read_text().splitlines()
    assert export_finished(away, file) == (4, 5)
    after = file.read_text().splitlines()
    assert after[:3] == before and len(after) == 5  # lines that were there are the same, and none is lost
    assert max(map(len, after)) < 6000


def test_the_same_trials_give_the_same_file_wherever_they_are(tmp_path: Path, file: Path) -> None:
    asked = trials(3)[::-1]
    take(tmp_path / "away", asked, file)
    export_finished(tmp_path / "away", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == file.read_bytes()
    assert [json.loads(line)["seed"] for line in file.read_text().splitlines()] == [0, 1, 2]


def test_a_result_that_is_there_stays_and_is_reported(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_trials(tmp_path / "own", trials(1), Inline(better), quiet=True)
    take(tmp_path / "own", trials(2), file)
    err = capsys.readouterr().err
    assert "trial 0 keeps its own result, accuracy 0.9000" in err and "records.jsonl, line 1: small-mbconv" in err
    assert "1 finished trial taken, 1 already here, 1 of no trial of this study" in err
    assert accuracies(run_trials(tmp_path / "own", trials(2), Inline(), quiet=True)) == [0.9, 0.501]
    take(tmp_path / "home", trials(3), file)
    assert "keeps" not in capsys.readouterr().err  # the same results
    with pytest.raises(
        ConfigError, match=r"records.jsonl: small-mbconv, .* another result there: accuracy 0.5000, not"
    ):
        export_finished(tmp_path / "own", file)
    assert len(read_finished([file])) == 3


def test_a_result_replaces_a_failure_and_what_is_unfinished(tmp_path: Path, file: Path) -> None:
    def failing(trial: Trial, run: Path) -> TrialResult:
        works.begin(run)
        return works.result(float("nan"))

    run_trials(tmp_path / "own", trials(1), Inline(failing), quiet=True)
    begun = StudyFolder(tmp_path / "own").add(trials(2)[1])
    works.begin(begun.attempt(begun.begin_attempt()))
    take(tmp_path / "own", trials(2), file)
    executor = Inline()
    assert accuracies(run_trials(tmp_path / "own", trials(2), executor, quiet=True)) == [0.5, 0.501]
    assert not executor.started and not begun.attempt(1).exists()
    states = {(one.user_attrs["trial"], one.state.name) for one in stored(tmp_path / "own")}
    assert states == {(0, "FAIL"), (0, "COMPLETE"), (1, "COMPLETE")}


def test_failed_and_unfinished_trials_do_not_travel(tmp_path: Path) -> None:
    run_trials(tmp_path / "home", trials(4), Inline(works.odd), quiet=True)
    StudyFolder(tmp_path / "home").add(trials(9)[8])
    assert export_finished(tmp_path / "home", tmp_path / "none.jsonl") == (0, 0)
    assert take(tmp_path / "away", trials(4), tmp_path / "none.jsonl").taken == set()
    with pytest.raises(RunError, match="no study here"):
        export_finished(tmp_path / "nowhere", tmp_path / "none.jsonl")


# What is refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 7}, "its key is '[0-9a-f]{16}', but its network, recipe, images and seed give"),
        ({"network": {"resolution": 17}}, "its key is"),
        ({"recipe": {"epochs": 99}}, "its key is"),
        ({"data": {"seed": 1}}, "its key is"),
        ({"images": "b" * 64}, "its key is"),
        ({"key": "0" * 16}, "its key is '0000000000000000'"),
        ({"result": {"accuracy": 1.2}}, r"line 1: small-mbconv, 16 epochs, seed 0 \(trial .*: accuracy 1.2 cannot be"),
        ({"result": {"accuracy": -0.1}}, "accuracy -0.1"),
        ({"result": {"interval95": [0.6, 0.7]}}, "interval95"),
        ({"result": {"interval95": [0.4]}}, "a list of 2"),
        ({"result": {"steps": -1}}, "steps -1"),
        ({"result": {"images": -1}}, "images -1"),
        ({"result": {"device_seconds": -0.5}}, "device_seconds -0.5"),
        ({"result": {"learning_rate": 0.0}}, "learning_rate 0"),
        ({"result": {"accuracy": "high"}}, "result.accuracy: expected a number"),
        ({"result": {"top9": 0.9}}, "top9: unknown key"),
        ({"kind": "trial"}, "not a finished trial"),
        ({"format_version": 0}, "format version 0 is not"),
    ],
)
def test_a_line_that_was_changed_is_refused_by_name(file: Path, change: dict[str, Any], says: str) -> None:
    changed(file, change)
    with pytest.raises((ConfigError, RunError), match=says) as error:
        read_finished([file])
    assert str(file) in str(error.value)


def test_a_newer_version_is_named(file: Path) -> None:
    changed(file, {"format_version": FORMAT_VERSION + 1, "of the future": True})
    with pytest.raises(RunError, match=r"is newer than this convscale.*pip install --upgrade"):
        read_finished([file])


@pytest.mark.parametrize("cut", [1, 8, 300, -2])
def test_a_torn_last_line_says_so(file: Path, cut: int) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:cut])
    with pytest.raises(ConfigError, match=r"records.jsonl, line 3: cut short \(copy the whole file"):
        read_finished([file])
    file.write_text("".join(lines[:2]) + lines[2].rstrip("\n"))  # nothing is missing but the end of the line
    assert len(read_finished([file])) == 3


@pytest.mark.parametrize("text", ["# Notes\n", "hello", "[1, 2]\n", "{}\n", "a,b\n1,2\n", "<<<<<<< HEAD\n", "NaN\n"])
def test_foreign_files_are_refused_and_not_written_to(tmp_path: Path, file: Path, text: str) -> None:
    other = tmp_path / "other"
    other.write_text(text)
    with pytest.raises(ConfigError, match="other, line 1: not a finished trial"):
        read_finished([file, other])
    with pytest.raises(ConfigError, match="not a finished trial"):
        export_finished(tmp_path / "home", other)
    assert other.read_text() == text
    with pytest.raises(ConfigError, match="cannot be read"):
        read_finished([tmp_path / "missing.jsonl"])


def test_results_that_disagree_are_refused_by_name_and_equal_ones_count_once(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(file.read_bytes())
    assert len(read_finished([file, other, file])) == 3
    changed(other, {"result": {"accuracy": 0.499}}, line=1)
    with pytest.raises(ConfigError, match=r"other.jsonl, line 2: small-mbconv, .* seed 1 .*another result in .*line 2"):
        read_finished([file, other])
    file.write_text(file.read_text() + other.read_text())
    with pytest.raises(ConfigError, match=r"records.jsonl, line 5: .* in .*records.jsonl, line 2"):
        take(tmp_path / "away", trials(2), file)
    assert not (tmp_path / "away").exists()  # nothing has begun


# Images


def test_the_same_images_may_lie_elsewhere(tmp_path: Path) -> None:
    here = [replace(trial, data=DataChoice(source="/secret/place/photos")) for trial in trials(2)]
    run_trials(tmp_path / "home", here, Inline(), quiet=True)
    export_finished(tmp_path / "home", tmp_path / "photos.jsonl")
    assert "secret" not in (tmp_path / "photos.jsonl").read_text()
    there = [replace(trial, data=DataChoice(source="cifar10@/mnt/other")) for trial in trials(2)]
    assert len(take(tmp_path / "away", there, tmp_path / "photos.jsonl").taken) == 2
    export_finished(tmp_path / "away", tmp_path / "again.jsonl")
    sources = {one.data.source for one, _ in read_finished([tmp_path / "again.jsonl"]).values()}
    assert sources == {"cifar10"}


def test_trials_on_other_images_are_counted_apart(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = [replace(trial, images="b" * 64) for trial in trials(2)]
    assert take(tmp_path / "away", other, file).taken == set()
    assert "0 finished trials taken, 3 of no trial of this study (2 on other images than" in capsys.readouterr().err
    assert {one.state for one in study_status(tmp_path / "away")} == {"waiting"}


def test_trials_from_before_fingerprints_travel_by_the_place_of_their_images(tmp_path: Path) -> None:
    run_trials(tmp_path / "home", trials_from_before(3), Inline(), quiet=True)
    file = tmp_path / "before.jsonl"
    assert export_finished(tmp_path / "home", file) == (3, 3)
    assert len(take(tmp_path / "away", trials(3), file).taken) == 3
    executor = Inline()
    assert accuracies(run_trials(tmp_path / "away", trials(3), executor, quiet=True)) == [0.5, 0.501, 0.502]
    moved = [replace(trial, data=DataChoice(source="cifar10")) for trial in trials(3)]
    assert not take(tmp_path / "elsewhere", moved, file).taken and not executor.started
    assert len(take(tmp_path / "home", trials(3), file).there) == 3  # in a folder from before, too


def test_names_do_not_matter_to_what_is_taken(tmp_path: Path, file: Path) -> None:
    (first, *_) = trials(1)
    named = replace(first, network=replace(first.network, name="other"), recipe=replace(first.recipe, note="other"))
    executor = Inline(quick)
    take(tmp_path / "away", [named], file)
    assert accuracies(run_trials(tmp_path / "away", [named], executor, quiet=True)) == [0.5] and not executor.started
