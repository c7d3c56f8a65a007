"""A fit of weights without any limit: their network, at its own size."""

from __future__ import annotations

from pathlib import Path

import pytest

import convscale as cs
from convscale.errors import BudgetError, ConfigError
from convscale.report.fits import fit_record, summary_lines
from convscale.runs import Run
from tests.cli.calling import run, run_json
from tests.images import digit_photos

QUICK = {"epochs": 1, "batch": 8}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_photos(tmp_path_factory.mktemp("data") / "photos", 8)


@pytest.fixture(scope="module")
def weights(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run at 12 pixels."""
    path = tmp_path_factory.mktemp("weights") / "run"
    network = cs.network("small-resnet").at_resolution(12)
    cs.train(
        network, photos, "digits", path, set=["epochs=1", "batch=8", "warmup_epochs=0"], quiet=True, pictures=False
    )
    return path


def test_the_network_of_the_weights_is_kept_whole(weights: Path, photos: Path, tmp_path: Path) -> None:
    fitted = cs.fit(photos, weights=weights, output=tmp_path / "run", quiet=True, **QUICK)
    assert fitted.run.network() == cs.network(weights) and fitted.run.network().resolution == 12
    plan = fitted.run.plan()
    assert plan is not None and plan.budget is None and plan.binding == () and plan.chosen.used == {}
    assert cs.read_record(fitted.run.path) == fitted.record == fit_record(fitted.run)
    budget = next(line for line in fitted.summary() if line.startswith("budget"))
    assert budget.startswith("budget     no limit given; weights file ")
    assert "no limit given" in (fitted.run.path / "README.md").read_text() and "no limit" in repr(plan)
    story = fitted.run.story()
    assert story is not None and story.command.startswith(f"convscale.fit({str(photos)!r}, weights=")
    resolution = story.decision("resolution")
    assert resolution is not None and resolution.choice == "12 px" and "no limit was given" in resolution.why


def test_it_is_printed_listed_and_continued(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("fit", photos, "--weights", weights, "--epochs", 1, "--batch", 8, "-o", tmp_path / "run")
    code, out, err = run(capsys, *command, "--dry-run")
    assert code == 0 and "no limit given" in out and not (tmp_path / "run").exists()
    planned = run_json(capsys, *command, "--dry-run")
    assert planned["used"] == {} and planned["binding"] == [] and planned["cost"]["resolution"] == 12
    code, out, err = run(capsys, *command)
    assert code == 0 and "no limit given" in out and "no limit given" in err
    code, out, _ = run(capsys, "show", tmp_path / "run")
    assert code == 0 and "no limit given" in out
    (row,) = run_json(capsys, "runs", tmp_path)["runs"]
    assert row["budget"] is None and row["state"] == "finished"
    code, out, _ = run(capsys, "resume", tmp_path / "run", "--epochs", 1)
    more = Run(tmp_path / "run-1")
    record = fit_record(more)
    assert code == 0 and record is not None and out.splitlines() == summary_lines(record)


def test_a_resolution_may_be_named(weights: Path, photos: Path) -> None:
    assert cs.plan_fit(photos, weights=weights, resolution=9).plan.network.resolution == 9
    assert cs.plan_fit(photos, weights=weights, max_resolution=11, resolution_step=2).plan.network.resolution == 10
    with pytest.raises(ConfigError, match="its own, 12 pixels, is its largest"):
        cs.plan_fit(photos, weights=weights, resolution=24)


def test_without_weights_a_limit_is_needed(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BudgetError, match="at least one limit.*--weights NAME"):
        cs.fit(photos, output=tmp_path / "run")
    code, _, err = run(capsys, "fit", photos, "--baseline", "small-resnet", "-o", tmp_path / "run")
    assert code == 2 and "at least one limit" in err and "--weights" in err and not (tmp_path / "run").exists()
