"""Studies on the command line."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from convscale.cli import main as cli_main
from convscale.records import DataChoice, TrialResult
from convscale.studies.designs import design
from convscale.studies.running import read_spec
from convscale.studies.spec import list_studies, read_study, settled
from convscale.trials.finished import FinishedTrial, write_finished
from convscale.trials.training_work import choose_images
from tests.studies.planted import accuracy, plant
from tests.works import Inline

pytest.importorskip("optuna")

ROW_KEYS = {"baseline", "method", "scaling", "macs", "params", "accuracy", "interval95", "seeds", "steps"}


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of the command line run here, on planted accuracies."""

    @contextmanager
    def executor(*options: Any) -> Any:
        yield Inline(plant(accuracy))

    monkeypatch.setattr("convscale.cli.study.executor", executor)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli_main.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.long
@pytest.mark.usefixtures("inline")
def test_study_run_status_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    code, out, err = run(capsys, "study", "run", "demo", "-o", folder, "-q", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert all(row.keys() >= ROW_KEYS for row in found["rows"])
    assert all(one.keys() >= {"a", "b", "mean", "interval95"} for one in found["differences"])
    assert run(capsys, "study", "run", "demo", "-o", folder, "-q")[1].endswith(f"report  {folder / 'report.md'}\n")
    status = json.loads(run(capsys, "study", "status", folder, "--json")[1])
    assert status["counts"] == {"finished": 20} and len(status["trials"]) == 20
    assert "20 finished" in run(capsys, "study", "status", folder)[1]
    for name in ("all.csv", "all.json"):
        assert run(capsys, "study", "export", folder, "-o", tmp_path / name)[0] == 0
    assert len(json.loads((tmp_path / "all.json").read_text())) == 20
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 21
    assert run(capsys, "study", "export", folder, "-o", tmp_path / "all.xlsx")[0] == 2
    assert run(capsys, "study", "export", folder)[0] == 2
    for option in ("-o", "--records"):
        assert (
            "no file can be written there" in run(capsys, "study", "export", folder, option, tmp_path / "no/a.csv")[2]
        )
    rows = json.loads(run(capsys, "study", "export", folder, "-o", tmp_path / "all.parquet", "--json")[1])["trials"]
    assert {row["method"] for row in rows} == {"baseline", "compound", "depth", "width", "resolution"}
    code, out, err = run(capsys, "study", "report", folder)
    assert code == 0 and out.endswith(f"report  {folder / 'report.md'}\n"), err
    assert json.loads(run(capsys, "study", "report", folder, "--json")[1]) == found
    code, _, err = run(capsys, "study", "run", "demo", "-o", folder, "-q", "--seeds", 4)
    assert code == 2 and "seeds was 2, is now 4" in err
    code, out, _ = run(capsys, "study", "resume", folder, "-q")
    assert code == 0 and "compound" in out


@pytest.mark.long
@pytest.mark.usefixtures("inline")
def test_records_travel_by_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, away, file = tmp_path / "home", tmp_path / "away", tmp_path / "records.jsonl"
    assert run(capsys, "study", "run", "demo", "-o", home, "-q")[0] == 0
    assert f"wrote {file}: 20 finished trials\n" in run(capsys, "study", "export", home, "--records", file)[2]
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:12]))
    code, out, err = run(capsys, "study", "run", "demo", "-o", away, "--records", file, "--json")
    assert code == 0 and "records.jsonl: 12 finished trials taken, 0 of no trial of this study" in err
    states = json.loads(run(capsys, "study", "status", away, "--json")[1])["trials"]
    assert [one["taken_from"] for one in states].count("records.jsonl") == 12
    assert json.loads(out)["rows"] == json.loads(run(capsys, "study", "report", home, "--json")[1])["rows"]
    assert run(capsys, "study", "export", away, "--records", file)[0] == 0 and len(lines) == 20
    assert file.read_text() == "".join(lines)
    assert "20 already here" in run(capsys, "study", "resume", away, "--records", file)[2]
    file.write_text("".join(lines)[:-100])
    code, _, err = run(capsys, "study", "run", "demo", "-o", tmp_path / "x", "--records", file)
    assert code == 2 and "line 20: cut short" in err and not (tmp_path / "x").exists()


@pytest.mark.long
@pytest.mark.usefixtures("inline")
def test_options_change_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys, "study", "run", "table7", "-o", tmp_path / "study", "--data", "digits", "--images", 100,
        "--test-images", 50, "--baseline", "small-mobilenet-v2", "--resolution", 16, "--costs", "8", "--lengths", "1,2",
        "--seeds", 2, "--recipe", "digits", "--set", "batch=16", "--coefficients", "1.2,1.1,1.15", "-q", "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert {row["baseline"] for row in found["rows"]} == {"small-mobilenet-v2"}
    assert "searched" in {row["method"] for row in found["rows"]}
    saved = read_spec(tmp_path / "study")
    assert (saved.costs, saved.lengths, saved.seeds, saved.settings) == ((8.0,), (1, 2), 2, ("batch=16",))


def test_study_list_and_bad_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Table 7" in run(capsys, "study", "list")[1]
    listed = [one["name"] for one in json.loads(run(capsys, "study", "list", "--json")[1])["studies"]]
    assert listed == sorted([*list_studies(), "grids"])
    for arguments in (
        ("study", "run", "table7", "-o", tmp_path / "x"),  # no images
        ("study", "run", "table8", "-o", tmp_path / "x"),
        ("study", "run", "demo"),
        ("study", "run", "demo", "-o", tmp_path / "x", "--costs", "two"),
        ("study", "run", "demo", "-o", tmp_path / "x", "--lengths", "3"),
        ("study", "status", tmp_path),
        ("study", "resume", tmp_path),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2 and not out and err.startswith("error:"), arguments
    assert not (tmp_path / "x/settings.json").exists()


@pytest.mark.long
def test_a_dry_run_measures_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "study", "run", "demo", "--dry-run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["trials"] == 20 and found["seconds"] > 0 and found["memory_bytes"] > 1e6
    images = len(choose_images(DataChoice(source="digits", train_images=240, test_images=200)).train)
    assert found["training_macs"] == sum(one["macs"] for one in found["networks"]) * images * 2 * (2 + 4)
    assert not list(tmp_path.iterdir())
    assert "trials   20" in run(capsys, "study", "run", "demo", "--dry-run")[1]


@pytest.mark.long
def test_a_dry_run_counts_no_trial_that_records_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = list(design(settled(read_study("demo"))).trials().values())
    result = TrialResult(accuracy=0.5, interval95=(0.4, 0.6), steps=1, images=200, device_seconds=1.0)
    for count, left in ((3, 17), (20, 0)):
        write_finished(tmp_path / "some.jsonl", {one.key: FinishedTrial.of(one, result) for one in trials[:count]})
        command = ("study", "run", "demo", "--dry-run", "--records", tmp_path / "some.jsonl")
        code, out, err = run(capsys, *command, "--json")
        assert code == 0, err
        assert json.loads(out)["trials"] == left
        assert (json.loads(out)["seconds"] > 0) == (left > 0)
        assert f"trials   {left}," in run(capsys, *command)[1]
