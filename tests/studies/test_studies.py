"""Studies that ran: what paired seeds tell and what they do not, a report of it, and going on."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import DataError, RunError
from convscale.statistics import CANNOT_TELL
from convscale.studies.running import read_spec, resume_study, run_study
from convscale.studies.spec import read_study, settled
from convscale.trials.status import study_status
from convscale.trials.trial import Trial
from tests.studies.planted import FOUR, accuracy, dimension, plant, ran, spec
from tests.works import Inline

pytest.importorskip("optuna")

# Results


@pytest.mark.long
def test_rows_and_differences_tell_what_was_planted(tmp_path: Path) -> None:
    result = ran(tmp_path, spec())
    rows = {(row.method, row.epochs): row for row in result.rows}
    assert len(rows) == 10
    compound = rows["compound", 2]
    assert compound.accuracy == pytest.approx(0.6) and compound.seeds == 3 and compound.steps == 20
    assert compound.baseline_accuracy == pytest.approx(0.5)
    (noise,) = [one for one in result.noise if one.epochs == 2]
    assert noise.networks == 5 and noise.degrees == 8  # (5 - 1) (3 - 1)
    assert noise.row_spread == pytest.approx(0.01 + 0.01, abs=1e-6)  # a test image in 50 resolves no more
    assert compound.learned and compound.settled and rows["compound", 1].settled is None
    told = {(one.a, one.b, one.epochs): one for one in result.differences}
    assert told["compound", "depth", 2].verdict == "a is better"
    assert told["compound", "depth", 2].mean == pytest.approx(0.2)
    assert told["compound", "width", 2].verdict == CANNOT_TELL
    assert told["compound", "width", 1].mean < 0
    assert rows["width", 2].settled is False and told["compound", "width", 2].adjusted_interval95 is None
    assert told["compound", "depth", 2].seeds_to_tell is None
    (change,) = result.length_changes  # of the others: width has not settled
    assert change.epochs == (1, 2) and (change.change.candidates, change.change.swapped) == (3, 0)


@pytest.mark.long
def test_the_report_says_it(tmp_path: Path) -> None:
    ran(tmp_path, spec(costs=(4.0, 8.0)))
    text = (tmp_path / "report.md").read_text()
    assert "compound beats depth by 20.0 points" in text
    assert "**Not settled**" in text and "pairs swap" in text and "seeds needed to tell" in text
    assert "corrected for 6 comparisons" in text and "together (Holm)" in text
    assert "convscale study run study.toml" in text and "device-hours" in text
    assert "| small-mbconv | compound | 3.9" in text and "| 20 |" in text
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18 and {row["steps"] for row in rows} == {"10", "20"}
    assert (tmp_path / "pictures/small-mbconv.png").stat().st_size > 5000
    assert read_study(tmp_path / "study.toml") == settled(spec(costs=(4.0, 8.0)))


@pytest.mark.long
def test_reusing_what_is_best_at_a_smaller_cost_has_a_price(tmp_path: Path) -> None:
    def turns(trial: Trial) -> float:
        large = cs.cost(trial.network).macs > 6 * 1.8e6
        best = "width" if large else "resolution"
        return (0.6 if dimension(trial) == best else 0.5) + 0.001 * trial.seed

    result = ran(tmp_path, spec(costs=(4.0, 8.0)), turns)
    (reuse,) = [one for one in result.reuses if one.epochs == 2]
    assert (reuse.found_at, reuse.reused, reuse.used_at, reuse.own_best) == (4.0, "resolution", 8.0, "width")
    assert reuse.regret == pytest.approx(0.1) and reuse.verdict == "worse"
    assert "Reusing what is best" in (tmp_path / "report.md").read_text()


@pytest.mark.long
def test_failed_trials_are_left_out_and_named(tmp_path: Path) -> None:
    def broken(trial: Trial) -> float:
        if dimension(trial) == "depth":
            raise DataError("no such image")
        return float("nan") if dimension(trial) == "width" and trial.seed == 0 else accuracy(trial)

    result = ran(tmp_path, spec(), broken)
    rows = {(row.method, row.epochs): row for row in result.rows}
    assert rows["depth", 2].accuracy is None and rows["depth", 2].failures == ("DataError: no such image",) * 3
    assert rows["width", 2].seeds == 2 and rows["width", 2].failures == ("the accuracy is nan",)
    assert not [one for one in result.differences if "depth" in (one.a, one.b)]
    assert "3 failed: DataError: no such image" in (tmp_path / "report.md").read_text()
    json.loads((tmp_path / "results.json").read_text())


@pytest.mark.long
def test_one_method_over_families_is_drawn_beside_the_papers(tmp_path: Path) -> None:
    study = spec(baselines=("small-mbconv", "small-mobilenet-v2"), methods=FOUR[:1], costs=(8.0,), quoted=True)
    ran(tmp_path, study)
    assert (tmp_path / "pictures/families.png").stat().st_size > 5000
    assert "Quoted from the paper (ImageNet), not measured here" in (tmp_path / "report.md").read_text()


# Going on


@pytest.mark.long
def test_a_half_done_study_goes_on(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(attempt: Any) -> None:
        if attempt.trial_number == 7:
            raise Enough

    with pytest.raises(Enough):
        run_study(spec(), tmp_path, Inline(plant(accuracy), slots=1, before=stop), quiet=True)
    assert not (tmp_path / "results.json").exists()
    executor = Inline(plant(accuracy))
    result = resume_study(tmp_path, executor, quiet=True)
    assert len(executor.started) == 30 - 7
    assert result.rows == ran(tmp_path, spec()).rows
    assert read_spec(tmp_path) == settled(spec())
    assert {one.state for one in study_status(tmp_path)} == {"finished"}


@pytest.mark.long
def test_another_study_in_the_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    ran(tmp_path, spec())
    with pytest.raises(RunError, match=r"seeds was 3, is now 4.*convscale study resume"):
        ran(tmp_path, spec(seeds=4))
    with pytest.raises(RunError, match="no study here"):
        resume_study(tmp_path / "nowhere", Inline(), quiet=True)
