"""Studies that tune learning rates: their scans travel too, and what is known so far says the rates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convscale.studies.designs import design
from convscale.studies.running import report_study, run_study
from convscale.studies.trial_rows import trial_rows
from convscale.trials.taking import export_finished
from tests.studies.planted import FOUR, accuracy, plant, spec
from tests.works import Inline

pytest.importorskip("optuna")


@pytest.mark.long
def test_scans_of_learning_rates_travel_and_are_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = spec(methods=FOUR[1:2], lengths=(5, 20), seeds=2, tune_rate=True)
    result = run_study(tuned, tmp_path / "one", Inline(plant(accuracy)), quiet=True)
    assert export_finished(tmp_path / "one", tmp_path / "records.jsonl") == (14 + 8, 22)
    executor = Inline(plant(accuracy))
    again = run_study(tuned, tmp_path / "two", executor, records=[tmp_path / "records.jsonl"])
    assert not executor.started and again == result == report_study(tmp_path / "two")
    assert "22 finished trials taken, 0 of no trial of this study" in capsys.readouterr().err
    rows = trial_rows(tmp_path / "two")
    assert [row["method"] for row in rows].count(None) == 14
    rates = {row["method"]: row["learning_rate"] for row in rows}
    assert all(rates[one.method] == one.chosen for one in result.rates)


@pytest.mark.long
def test_a_file_of_the_first_rates_brings_those(tmp_path: Path) -> None:
    tuned = spec(methods=FOUR[1:2], lengths=(5, 20), seeds=2, tune_rate=True)
    result = run_study(tuned, tmp_path / "one", Inline(plant(accuracy)), quiet=True)
    export_finished(tmp_path / "one", tmp_path / "all.jsonl")
    first = {trial.key for trial in design(tuned).scans().values()}
    lines = [line for line in (tmp_path / "all.jsonl").read_text().splitlines() if json.loads(line)["key"] in first]
    (tmp_path / "first.jsonl").write_text("\n".join(lines) + "\n")
    executor = Inline(plant(accuracy))
    assert run_study(tuned, tmp_path / "two", executor, records=[tmp_path / "first.jsonl"], quiet=True) == result
    assert len(lines) == 6 and len(executor.started) == 8 + 8
    assert not first & {attempt.trial.key for attempt in executor.started}
