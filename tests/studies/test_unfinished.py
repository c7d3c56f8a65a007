"""Unfinished studies: what is known so far is written, shown and exported; records of other machines fill the rest."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from convscale.costs import cost
from convscale.errors import RunError, TrainingStopped
from convscale.records import FactorCurve, read_record
from convscale.report.unfinished import unfinished
from convscale.studies.coefficients import search_by_training
from convscale.studies.families import FamilyTraining, train_family
from convscale.studies.running import report_study, resume_study, run_study
from convscale.studies.trial_rows import COLUMNS, trial_rows, write_rows
from convscale.trials.executor import Attempt
from convscale.trials.folders import StudyFolder
from convscale.trials.taking import export_finished
from tests.planning.test_family import family_training
from tests.studies.planted import FOUR, accuracy, plant, ran, spec
from tests.studies.test_family_faults import search
from tests.works import Inline

pytest.importorskip("optuna")

TWO = {"methods": FOUR[:2], "seeds": 2}  # 3 networks, 2 lengths, 2 seeds: 12 trials


class Enough(Exception):
    """Ends a study as a kill does: nothing is written after it."""


def stopped(folder: Path, at: int, how: Callable[[], object], **changes: Any) -> None:
    """Run a study up to its trial number `at`."""

    def before(attempt: Attempt) -> None:
        if attempt.trial_number == at:
            how()

    run_study(spec(**TWO | changes), folder, Inline(plant(accuracy), slots=1, before=before), quiet=True)


def kill() -> None:
    raise Enough


# Reports


@pytest.mark.long
def test_a_seed_that_is_complete_is_a_result(tmp_path: Path) -> None:
    with pytest.raises(Enough):
        stopped(tmp_path, 9, kill)
    result = read_record(tmp_path)
    assert [row.seeds for row in result.rows] == [1] * 6  # as it was when the seed ended, 3 trials ago
    assert {row.method: row.accuracy for row in result.rows if row.epochs == 2} == {
        "baseline": 0.5, "compound": 0.6, "depth": 0.4,
    }  # fmt: skip
    text = (tmp_path / "report.md").read_text()
    assert "**Unfinished**: 6 of 12 trainings have ended" in text and "Missing 1 of 2 seeds: every network" in text
    assert (tmp_path / "pictures/small-mbconv.png").stat().st_size > 5000
    result = report_study(tmp_path)
    assert {(row.method, row.epochs): row.seeds for row in result.rows if row.epochs == 1} == {
        ("baseline", 1): 2, ("compound", 1): 2, ("depth", 1): 2,
    }  # fmt: skip
    assert (
        "Missing 1 of 2 seeds: small-mbconv, baseline (2 epochs); small-mbconv, compound at 4 times"
        in (tmp_path / "report.md").read_text()
    )
    whole = resume_study(tmp_path, Inline(plant(accuracy)), quiet=True)
    assert not unfinished(whole) and "Unfinished" not in (tmp_path / "report.md").read_text()
    assert whole.rows == ran(tmp_path, spec(**TWO)).rows == report_study(tmp_path).rows


def test_a_signal_leaves_a_report(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped):
        stopped(tmp_path, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert "4 of 12 trainings have ended" in (tmp_path / "report.md").read_text()
    result = read_record(tmp_path)
    assert {(row.method, row.epochs) for row in result.rows if row.accuracy is None} == {
        ("compound", 2), ("depth", 2),
    }  # fmt: skip
    assert "Not trained yet: small-mbconv, compound at 4 times the cost (2 epochs)" in "\n".join(unfinished(result))
    assert "waiting" in str(result)


@pytest.mark.long
def test_a_report_needs_neither_the_images_nor_the_planner(tmp_path: Path) -> None:
    with pytest.raises(Enough):
        stopped(tmp_path / "home", 7, kill)
    copied = Path(shutil.copytree(tmp_path / "home", tmp_path / "copied"))
    settings = json.loads((copied / "settings.json").read_text())
    settings["data"]["source"] = "/gone"
    (copied / "settings.json").write_text(json.dumps(settings))
    assert report_study(copied).rows == report_study(tmp_path / "home").rows
    (copied / "trials/0001/record.json").write_text("{")
    assert sum(row.seeds for row in report_study(copied).rows) == 6
    assert (copied / "trials/0001/record.json").exists()  # it only reads
    (tmp_path / "home" / "design.json").unlink()  # of a version that did not write it: made anew
    assert sum(row.seeds for row in report_study(tmp_path / "home").rows) == 7


def test_a_report_that_cannot_be_written_does_not_stop_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def before(attempt: Attempt) -> None:
        if attempt.trial_number == 2:
            (tmp_path / "pictures").write_text("in the way")
        if attempt.trial_number == 9:
            (tmp_path / "pictures").unlink()

    result = run_study(spec(**TWO), tmp_path, Inline(plant(accuracy), slots=1, before=before), quiet=True)
    assert not unfinished(result) and "no report so far: " in capsys.readouterr().err


def test_there_is_no_report_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(Enough):
        stopped(tmp_path / "s", 0, kill)
    with pytest.raises(RunError, match="no trial has ended.*study status"):
        report_study(tmp_path / "s")
    with pytest.raises(TrainingStopped):
        run_study(
            spec(**TWO), tmp_path / "t", Inline(before=lambda attempt: os.kill(os.getpid(), signal.SIGTERM), slots=1),
            quiet=True,
        )  # fmt: skip


# Rows


def test_one_row_a_trial_says_what_it_is_for(tmp_path: Path) -> None:
    curves = (FactorCurve(name="deep", points=((1, 1, 1), (2, 1, 1))),)
    with pytest.raises(Enough):
        stopped(tmp_path / "s", 5, kill, curves=curves)
    rows = trial_rows(tmp_path / "s")
    assert len(rows) == 16 and all(tuple(row) == COLUMNS for row in rows)
    first, *_ = rows
    assert (first["baseline"], first["method"], first["asked"], first["cost"]) == (
        "small-mbconv", "baseline; deep", None, 1.0,
    )  # fmt: skip
    assert (first["macs"], first["resolution"], first["seed"], first["epochs"], first["steps"]) == (
        cost(StudyFolder(tmp_path / "s").trial(0).read().network).macs, 16, 0, 1, 10,
    )  # fmt: skip
    assert (first["accuracy"], first["low"], first["device_seconds"]) == (0.5, 0.49, 0.1)
    (compound,) = [row for row in rows if (row["method"], row["seed"], row["epochs"]) == ("compound", 0, 1)]
    assert compound["asked"] == 4 and compound["cost"] == pytest.approx(4, rel=0.03) and compound["state"] == "finished"
    assert [row["state"] for row in rows].count("finished") == 5
    assert rows[-1]["accuracy"] is None and rows[-1]["device"] is None
    for name in ("rows.csv", "rows.parquet", "rows.jsonl", "rows.json"):
        write_rows(rows, tmp_path / name)
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows
    with (tmp_path / "rows.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [row["method"] for row in read] == [row["method"] for row in rows] and float(read[0]["accuracy"]) == 0.5


def test_rows_of_a_study_whose_images_and_design_are_gone_leave_methods_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Enough):
        stopped(tmp_path, 2, kill)
    settings = (tmp_path / "settings.json").read_text()
    (tmp_path / "settings.json").write_text(settings.replace('"digits"', '"/gone"'))
    (tmp_path / "design.json").unlink()
    rows = trial_rows(tmp_path)
    assert {row["method"] for row in rows} == {None} and rows[0]["accuracy"] == 0.5
    assert "methods and costs are unknown" in capsys.readouterr().err


# Records of other machines


@pytest.mark.long
def test_two_machines_share_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Enough):
        stopped(tmp_path / "one", 5, kill)
    export_finished(tmp_path / "one", tmp_path / "records.jsonl")
    executor = Inline(plant(accuracy))
    records = [tmp_path / "records.jsonl"]
    result = run_study(spec(**TWO), tmp_path / "other", executor, records=records)
    assert len(executor.started) == 12 - 5
    assert "5 finished trials taken, 0 of no trial of this study" in capsys.readouterr().err
    assert result.rows == ran(tmp_path / "alone", spec(**TWO)).rows
    export_finished(tmp_path / "other", tmp_path / "records.jsonl")
    executor = Inline(plant(accuracy))
    assert resume_study(tmp_path / "one", executor, records=records, quiet=True).rows == result.rows
    assert not executor.started


@pytest.mark.long
@pytest.mark.parametrize("kind", ["coefficients", "family"])
def test_searches_and_families_take_records_too(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(folder: Path, executor: Inline, **options: Any) -> Any:
        if kind == "coefficients":
            return search_by_training(search(), folder, executor, **options)
        training: FamilyTraining = family_training()
        return train_family(training, folder, executor, **options)

    first = run(tmp_path / "one", Inline(), quiet=True)
    count, _ = export_finished(tmp_path / "one", tmp_path / "records.jsonl")
    ran(tmp_path / "foreign", spec(methods=FOUR[:1], seeds=2))
    assert export_finished(tmp_path / "foreign", tmp_path / "foreign.jsonl") == (8, 8)
    executor = Inline()
    again = run(tmp_path / "two", executor, records=[tmp_path / "records.jsonl", tmp_path / "foreign.jsonl"])
    assert not executor.started and count > 0
    assert f"{count} finished trials taken, 8 of no trial of this study" in capsys.readouterr().err
    assert again == first
