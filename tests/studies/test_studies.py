"""Studies: networks of one true cost, what paired seeds tell and what they do not, and a report of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.cli import main as cli_main
from convscale.errors import BudgetError, ConfigError, DataError, RunError, UnknownNameError
from convscale.files import write_toml
from convscale.records import DataChoice, FactorCurve, Method, StudyResult, StudySpec
from convscale.schema import to_table
from convscale.statistics import CANNOT_TELL
from convscale.studies.designs import design
from convscale.studies.running import read_spec, resume_study, run_study
from convscale.studies.spec import list_studies, read_study, settled
from convscale.trials.status import study_status
from convscale.trials.training_work import choose_images
from convscale.trials.trial import Trial, TrialResult
from tests import works
from tests.works import Inline

pytest.importorskip("optuna")

DIGITS = DataChoice(source="digits", train_images=100, test_images=50)
FOUR = tuple(Method(law=name) for name in ("compound", "depth", "width", "resolution"))


def spec(**changes: Any) -> StudySpec:
    given: dict[str, Any] = {
        "name": "planted", "baselines": ("small-mbconv",), "resolution": 16, "methods": FOUR, "costs": (4.0,),
        "lengths": (1, 2), "seeds": 3, "recipe": "digits", "data": DIGITS,
    }  # fmt: skip
    return StudySpec(**(given | changes))


def plant(accuracy: Callable[[Trial], float]) -> Callable[[Trial, Path], TrialResult]:
    def work(trial: Trial, run: Path) -> TrialResult:
        works.begin(run)
        return works.result(accuracy(trial), steps=10 * trial.recipe.epochs)

    return work


def dimension(trial: Trial) -> str:
    """Which dimension of small-mbconv at 16 px has grown most."""
    network, base = trial.network, cs.network("small-mbconv")
    grown = {
        "depth": sum(stage.repeats for stage in network.stages) / sum(stage.repeats for stage in base.stages),
        "width": (network.stages[-1].channels / base.stages[-1].channels) ** 2,
        "resolution": (network.resolution / 16) ** 2,
    }
    found = max(grown, key=lambda name: grown[name])
    return "baseline" if max(grown.values()) == 1 else "compound" if grown[found] < 2.5 else found


PLANTED = {"baseline": 0.5, "compound": 0.6, "width": 0.595, "resolution": 0.55, "depth": 0.4}


def accuracy(trial: Trial) -> float:
    """Compound first, width level with it and ahead after one epoch; a seed's noise is the same for all but width."""
    kind = dimension(trial)
    noise = (0.0, 0.01, -0.01)[trial.seed] * (-1 if kind == "width" else 1)
    early = 0.1 if kind == "width" and trial.recipe.epochs == 1 else 0.0
    return PLANTED[kind] + noise + early


def ran(folder: Path, study: StudySpec, planted: Callable[[Trial], float] = accuracy) -> StudyResult:
    return run_study(study, folder, Inline(plant(planted)), quiet=True)


# The studies that come along


@pytest.mark.parametrize("name", list_studies())
def test_the_studies_that_come_along_can_be_had(name: str) -> None:
    study = read_study(name)
    assert study.question.endswith((")", "?")) and len(study.lengths) >= 2 and study.seeds >= 2
    study = study if study.data else replace(study, data=DIGITS)
    designed = design(settled(replace(study, costs=study.costs[:1])))
    assert len(designed.points) >= 4
    for point in designed.points:
        if point.asked is not None:
            assert 0.98 <= point.cost_ratio / point.asked <= 1
            assert point.macs == cs.cost(point.network).macs


def test_the_studies_that_come_along() -> None:
    assert set(list_studies()) == {"observations", "table7", "table3", "laws", "transfer", "curves", "demo"}
    with pytest.raises(UnknownNameError, match="table7"):
        read_study("tabel7")


# Design


def test_methods_cost_the_same_and_grow_what_they_say() -> None:
    designed = design(spec(costs=(4.0, 8.0)))
    assert [point.method for point in designed.points] == [
        "baseline", *(method.law for method in FOUR), *(method.law for method in FOUR)
    ]  # fmt: skip
    for point in designed.points[1:]:
        assert point.asked is not None and 0.98 <= point.cost_ratio / point.asked <= 1
        assert point.shares is not None
        if point.method != "compound":
            assert point.shares[("depth", "width", "resolution").index(point.method)] > 0.8
    assert designed == design(spec(costs=(4.0, 8.0)))


def test_what_cannot_be_had_is_named(tmp_path: Path) -> None:
    designed = design(spec(costs=(1.1, 4.0)))
    assert {(one.method, one.asked) for one in designed.unreachable} >= {("depth", 1.1)}
    assert all("shares" in one.reason or "cost" in one.reason for one in designed.unreachable)
    with pytest.raises(BudgetError, match="no network can be had"):
        ran(tmp_path, spec(costs=(1.01,), methods=(Method(law="depth"),)))
    assert not (tmp_path / "settings.json").exists()
    assert "depth" in "\n".join(one.method for one in ran(tmp_path, spec(costs=(1.1, 4.0))).unreachable)


def test_a_baseline_that_is_too_shallow_is_said_so() -> None:
    one = replace(cs.network("small-resnet"), stages=cs.network("small-resnet").stages[:1])
    flat = replace(one, stages=(replace(one.stages[0], fixed_depth=True),))
    file = Path("flat.toml")
    study = spec(baselines=(str(file),), methods=(Method(law="depth"), Method(law="width")))
    with contextdir():
        write_toml(file, to_table(flat))
        designed = design(study)
    assert [unreachable.method for unreachable in designed.unreachable] == ["depth"]


@contextmanager
def contextdir() -> Any:
    import contextlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


def test_curves_take_factors_as_they_are() -> None:
    curve = FactorCurve(name="width alone", points=((1, 1, 1), (1, 2, 1), (1, 2, 2)))
    designed = design(spec(methods=(), costs=(), curves=(curve,)))
    assert [point.method for point in designed.points] == ["baseline"] + ["width alone"] * 3
    assert designed.points[1].network == designed.points[0].network
    assert [point.network.resolution for point in designed.points] == [16, 16, 16, 32]


# Results


def test_rows_and_differences_tell_what_was_planted(tmp_path: Path) -> None:
    result = ran(tmp_path, spec())
    rows = {(row.method, row.epochs): row for row in result.rows}
    assert len(rows) == 10
    compound = rows["compound", 2]
    assert compound.accuracy == pytest.approx(0.6) and compound.seeds == 3 and compound.steps == 20
    assert compound.baseline_accuracy == pytest.approx(0.5)
    assert compound.interval95 == pytest.approx((0.6 - 0.02484, 0.6 + 0.02484), abs=1e-4)  # t(2) = 4.303
    told = {(one.a, one.b, one.epochs): one for one in result.differences}
    assert told["compound", "depth", 2].verdict == "a is better"
    assert told["compound", "depth", 2].mean == pytest.approx(0.2)
    assert told["compound", "width", 2].verdict == CANNOT_TELL
    assert told["compound", "width", 1].mean < 0
    needed = told["compound", "width", 2].seeds_to_tell
    assert needed is not None and 60 < needed < 80  # 0.005 against a spread of 0.02: t * 0.02 / sqrt(n) < 0.005
    assert told["compound", "depth", 2].seeds_to_tell is None
    (change,) = result.length_changes
    assert change.epochs == (1, 2) and change.change.best_changes and change.change.swapped == 1


def test_the_report_says_it(tmp_path: Path) -> None:
    ran(tmp_path, spec(costs=(4.0, 8.0)))
    text = (tmp_path / "report.md").read_text()
    assert "compound beats depth by 20.0 points" in text
    assert CANNOT_TELL in text and "the best changes" in text and "seeds that would tell" in text
    assert "convscale study run study.toml" in text and "device-hours" in text
    assert "| small-mbconv | compound | 3.9" in text and "| 20 |" in text
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18 and {row["steps"] for row in rows} == {"10", "20"}
    assert (tmp_path / "pictures/small-mbconv.png").stat().st_size > 5000
    assert read_study(tmp_path / "study.toml") == settled(spec(costs=(4.0, 8.0)))


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


def test_one_method_over_families_is_drawn_beside_the_papers(tmp_path: Path) -> None:
    study = spec(baselines=("small-mbconv", "small-mobilenet-v2"), methods=FOUR[:1], costs=(8.0,), quoted=True)
    ran(tmp_path, study)
    assert (tmp_path / "pictures/families.png").stat().st_size > 5000
    assert "Quoted from the paper (ImageNet), not measured here" in (tmp_path / "report.md").read_text()


# Going on, and refusing


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


def test_another_study_in_the_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    ran(tmp_path, spec())
    with pytest.raises(RunError, match=r"seeds was 3, is now 4.*convscale study resume"):
        ran(tmp_path, spec(seeds=4))
    with pytest.raises(RunError, match="no study here"):
        resume_study(tmp_path / "nowhere", Inline(), quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": (2,)}, "two or more, in epochs"),
        ({"lengths": (2, 2)}, "increasing"),
        ({"seeds": 1}, "2 or more"),
        ({"costs": (1.0,)}, "above 1"),
        ({"costs": ()}, "compares nothing"),
        ({"methods": ()}, "compares nothing"),
        ({"baselines": ()}, "no baselines"),
        ({"methods": FOUR + FOUR[:1]}, "one name"),
    ],
)
def test_a_study_that_cannot_conclude_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    "given",
    [{}, {"law": "depth", "shares": (1.0, 1.0, 1.0)}, {"shares": (1.0, 2.0)}, {"law": "depth", "name": "baseline"}],
)
def test_a_method_says_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Method(**given)
    with pytest.raises(ConfigError, match="a list of 3"):
        FactorCurve(name="flat", points=((1.0, 2.0),))


def test_unknown_keys_and_names_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    table = to_table(spec())
    write_toml(file, table | {"seed": 3})
    with pytest.raises(ConfigError, match="seed"):
        read_study(file)
    with pytest.raises(UnknownNameError, match="depht"):
        design(spec(methods=(Method(law="depht"),)))
    with pytest.raises(ConfigError, match="names no images"):
        design(spec(data=None))
    with pytest.raises(DataError, match="not 5,000"):
        design(spec(data=replace(DIGITS, train_images=5000)))


def test_coefficients_of_a_search_become_numbers(tmp_path: Path) -> None:
    (tmp_path / "coefficients.json").write_text('{"alpha": 1.3, "beta": 1.1, "gamma": 1.1, "candidates": []}')
    found = settled(spec(methods=(*FOUR, Method(coefficients=str(tmp_path)))))
    assert found.methods[-1] == Method(coefficients="1.3,1.1,1.1", name="searched")
    assert settled(found) == found


# The command line

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
    code, _, err = run(capsys, "study", "run", "demo", "-o", folder, "-q", "--seeds", 4)
    assert code == 2 and "seeds was 2, is now 4" in err
    code, out, _ = run(capsys, "study", "resume", folder, "-q")
    assert code == 0 and "compound" in out


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
    assert [one["name"] for one in json.loads(run(capsys, "study", "list", "--json")[1])["studies"]] == list_studies()
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


def test_a_dry_run_measures_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "study", "run", "demo", "--dry-run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["trials"] == 20 and found["seconds"] > 0 and found["memory_bytes"] > 1e6
    images = len(choose_images(DataChoice(source="digits", train_images=240, test_images=200)).train)
    assert found["training_macs"] == sum(one["macs"] for one in found["networks"]) * images * 2 * (2 + 4)
    assert not list(tmp_path.iterdir())
    assert "trials   20" in run(capsys, "study", "run", "demo", "--dry-run")[1]
