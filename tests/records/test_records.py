"""Records: whatever is kept reads back as what it was, and is shown as is promised."""

from __future__ import annotations

import json
import typing
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import convscale as cs
from convscale.errors import ConfigError, RunError
from convscale.flattening import flat
from convscale.formats import FORMAT_VERSION, read_kept
from convscale.networks import ConvNet
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.records import (
    RECORDS,
    DataChoice,
    GridResult,
    GridSpec,
    Method,
    StudySpec,
    read_as,
    read_record,
    write_family,
    write_record,
)
from convscale.records.files import _OF_FILES
from convscale.report.coefficients import report as search_report
from convscale.report.studies import CSV_COLUMNS, report, rows_as_csv
from convscale.scaling import Scaling, ScalingLaw, read_coefficients
from convscale.schema import to_table
from convscale.search.coefficients import candidates_at_cost, find_coefficients
from convscale.studies.coefficients import TrainingSearch, search_by_training
from convscale.studies.grids import GRIDS
from convscale.studies.running import run_study
from convscale.studies.spec import read_study
from convscale.trials.finished import read_finished
from convscale.trials.trial import Trial, TrialResult
from tests import works
from tests.works import Inline

DIGITS = DataChoice(source="digits", train_images=100, test_images=50)
STUDY = StudySpec(
    name="planted", baselines=("small-mbconv",), resolution=16, costs=(4.01,), lengths=(1, 2), seeds=2, recipe="digits",
    methods=(Method(law="compound"), Method(law="width")), data=DIGITS,
)  # fmt: skip
GREY = Preprocessing(size=32, mean=(0.5,), std=(0.25,))
TINY = cs.network("small-mbconv").at_resolution(16)

# What is not any value of its type hints.
SAMPLES: dict[Any, list[Any]] = {
    ConvNet: [cs.network(name) for name in ("small-mbconv", "resnet-50", "efficientnet-b3")],
    Recipe: [cs.recipe("digits"), cs.recipe("photos"), replace(cs.recipe("digits"), dropout=0.5)],
    cs.Budget: [cs.Budget(macs="600M"), cs.Budget(params=5e6, latency_seconds="15ms")],
    Scaling: [Scaling(), Scaling(1.2, 1.1, 1.15)],
    ScalingLaw: [cs.compound_law(), cs.law("width")],
    StudySpec: [STUDY, replace(STUDY, data=None)],
    GridSpec: [GRIDS.read("grids"), replace(GRIDS.read("grids"), costs=(1e6,))],
    Preprocessing: [GREY, replace(GREY, crop=0.9, stored_range=(0.0, 4095.0))],
    DataChoice: [DIGITS, DataChoice(source="a/b", label_column="class")],
}


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type hint."""
    origin, arms = typing.get_origin(kind), typing.get_args(kind)
    if kind in SAMPLES:
        return st.sampled_from(SAMPLES[kind])
    if origin is typing.Literal:
        return st.sampled_from(arms)
    if origin in (typing.Union, UnionType):
        return st.one_of(*map(values, arms))
    if origin is tuple:
        if arms[-1] is Ellipsis:
            return st.lists(values(arms[0]), max_size=2).map(tuple)
        return st.tuples(*map(values, arms))
    if origin is dict:
        return st.dictionaries(values(arms[0]), values(arms[1]), max_size=2)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{one.name: values(hints[one.name]) for one in fields(kind)})
    simple = {int: st.integers(), float: st.floats(allow_nan=False, allow_infinity=False), str: st.text(max_size=5),
              bool: st.booleans(), NoneType: st.none()}  # fmt: skip
    return simple[kind]


@pytest.mark.long
@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_record_reads_back_as_it_was_written(kind: str, data: st.DataObject) -> None:
    record = data.draw(values(RECORDS[kind]))
    for table in (to_table(record), to_table(record, complete=True), to_table(record, complete=True, nulls=True)):
        assert read_kept(RECORDS[kind], json.loads(json.dumps(table, allow_nan=False))) == record


def test_files_that_a_folder_keeps_are_of_known_kinds() -> None:
    assert set(_OF_FILES.values()) <= set(RECORDS)


# Real results


def planted(trial: Trial, run: Path) -> TrialResult:
    works.begin(run)
    grown = trial.network.stages[-1].channels / 1000
    return works.result(0.5 + grown + trial.seed * (-1) ** trial.recipe.epochs / 100, steps=10 * trial.recipe.epochs)


def accuracy(network: ConvNet, seed: int, steps: int) -> float:
    return 0.5 + network.resolution / 1000 + seed / 1000 + steps / 1e6


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("study")
    return folder, run_study(STUDY, folder, Inline(planted), quiet=True)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("search")
    few = {"share_step": 0.5, "seeds": 1, "final_seeds": 2, "probe": 3, "keep": 2, "budget": 1.0, "cost": 3.0}
    asked = TrainingSearch(baseline=TINY, data=DIGITS, recipe=cs.recipe("digits"), epochs=(1, 2), options=few)
    return folder, search_by_training(asked, folder, Inline(planted), quiet=True)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("fit") / "run"
    return cs.fit("digits", cs.Budget(macs="300k"), epochs=1, output=folder, quiet=True)


@pytest.mark.long
def test_a_study_reads_back_and_its_report_is_made_from_the_file_alone(study: tuple[Path, Any]) -> None:
    folder, result = study
    found = read_record(folder / "results.json")
    assert found == result and read_record(folder) == result and flat(found) == result.as_dict()
    assert "\n".join(report(found)) + "\n" == (folder / "report.md").read_text()
    assert rows_as_csv(found) == (folder / "rows.csv").read_text()


@pytest.mark.long
def test_a_search_reads_back_and_its_report_is_made_from_the_file_alone(search: tuple[Path, Any]) -> None:
    folder, result = search
    found = read_record(folder)
    assert found == result and flat(found) == result.as_dict()
    assert found.best is found.equivalent[0] and found.best.accuracies == result.best.accuracies
    assert "\n".join(search_report(found)) + "\n" == (folder / "report.md").read_text()
    read = read_coefficients(folder)
    assert (read.alpha, read.beta, read.gamma, read.note) == (*result.coefficients, result.note)


def test_a_search_of_a_function_reads_back(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    assert len(candidates_at_cost(TINY, 4.0, step=0.5).found) > 2
    found = find_coefficients(TINY, accuracy, cost=4.0, share_step=0.5, lengths=[100, 300], probe=3)
    write_record(tmp_path / "found.json", found)
    assert read_record(tmp_path / "found.json") == found and found.training is None
    assert search_report(found) and "data" not in found.as_dict()


def test_a_fit_reads_back_and_its_run_tells_it(fitted: Any) -> None:
    run = fitted.run.path
    assert read_record(run / "fit.json") == fitted.record and read_record(run) == fitted.record
    assert read_record(run / "evaluation.json") == fitted.evaluation == fitted.run.evaluation()
    assert read_record(run / "result.json") == fitted.run.result()
    assert read_record(run / "data.json") == fitted.dataset.record()
    assert list(fitted.as_dict()) == [
        "run", "baseline", "reason", "recipe", "law", "phi", "scaling", "cost", "binding", "used", "training_seconds",
        "evaluation",
    ]  # fmt: skip
    assert fitted.as_dict() == flat(fitted.record) and fitted.as_dict()["run"] == str(run)


def test_plans_and_families_read_back(tmp_path: Path) -> None:
    planned = replace(cs.plan(TINY, cs.Budget(macs="30M", params="1M")), evidence="as given")
    write_record(tmp_path / "plan.json", planned)
    assert read_record(tmp_path / "plan.json") == planned
    made = replace(cs.family(TINY, cs.compound_law(), [0.5, 1]), evidence="as given")
    write_family(made, tmp_path / "family")
    assert read_record(tmp_path / "family") == made
    for member in made.members:
        assert cs.network(tmp_path / "family" / f"small-mbconv-phi{member.phi:g}.toml") == member.network


def test_a_file_says_its_kind_and_version(tmp_path: Path, fitted: Any) -> None:
    file = tmp_path / "kept.json"
    write_record(file, fitted.evaluation)
    table = json.loads(file.read_text())
    assert list(table)[:3] == ["kind", "format_version", "convscale"]
    assert (table["kind"], table["format_version"]) == ("evaluation", FORMAT_VERSION)
    assert table.keys() >= {one.name for one in fields(fitted.evaluation)}  # None too
    file.write_text(json.dumps(table | {"format_version": FORMAT_VERSION + 1}))
    with pytest.raises(RunError, match="newer than this convscale"):
        read_record(file)
    file.write_text(json.dumps(table | {"kind": "training"}))
    with pytest.raises(ConfigError, match="'training' is not 'evaluation'"):
        read_as(cs.Evaluation, file)
    file.write_text(json.dumps(table | {"kind": "eval"}))
    with pytest.raises(ConfigError, match="'eval'.*"):
        read_record(file)
    file.write_text(json.dumps(table | {"top6": 1}))
    with pytest.raises(ConfigError, match="top6: unknown key"):
        read_record(file)
    file.write_text("{}")
    with pytest.raises(ConfigError, match="names no kind"):
        read_record(file)
    with pytest.raises(RunError, match="there is no result here"):
        read_record(tmp_path)


# From before


def test_results_from_before_read_with_the_study_beside_them(study: tuple[Path, Any], tmp_path: Path) -> None:
    """As they were written then: what --json shows, and study.toml. Nothing of what came later is claimed."""
    folder, result = study
    later = {"claims", "primary", "noise", "chance", "comparisons"}
    (tmp_path / "results.json").write_text(
        json.dumps({key: value for key, value in result.as_dict().items() if key not in later})
    )
    with pytest.raises(ConfigError, match="do not say what the study was"):
        read_record(tmp_path)
    (tmp_path / "study.toml").write_text((folder / "study.toml").read_text())
    before = replace(result, claims=(), primary=(), noise=(), chance=None, comparisons=0)
    assert read_record(tmp_path) == before
    text = "\n".join(report(before))
    assert "did not correct comparisons" in text and " beats " not in text


def test_families_from_before_read_where_they_hold_their_baseline(tmp_path: Path) -> None:
    for phis, known in (([0, 1], True), ([1], False)):
        made = replace(cs.family(TINY, cs.compound_law(), phis), evidence="as given")
        (tmp_path / "family.json").write_text(json.dumps(made.as_dict()))
        if known:
            found = read_record(tmp_path)
            assert found == made and flat(found) == made.as_dict()
        else:
            with pytest.raises(ConfigError, match="does not say what its baseline is"):
                read_record(tmp_path)


def test_what_a_search_from_before_holds_is_read(search: tuple[Path, Any], tmp_path: Path) -> None:
    _, result = search
    (tmp_path / "coefficients.json").write_text(json.dumps(result.as_dict()))
    read = read_coefficients(tmp_path)
    assert (read.alpha, read.beta, read.gamma, read.note) == (*result.coefficients, result.note)
    with pytest.raises(ConfigError, match="neither their networks nor the accuracies"):
        read_record(tmp_path)


def test_values_that_were_searched_before_are_a_list(tmp_path: Path) -> None:
    row = {"learning_rate": 0.1, "weight_decay": 0.0, "accuracy": None, "n": 3, "seconds": 1.0, "failure": "nan"}
    (tmp_path / "search.json").write_text(json.dumps([row]))
    assert flat(read_record(tmp_path / "search.json")) == {"rows": [row]}


RECORDED = sorted(path for path in (Path(__file__).parents[2] / "docs" / "results").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", RECORDED, ids=lambda path: path.name)
def test_recorded_results_stay_readable(folder: Path) -> None:
    if (folder / "coefficients.json").exists():
        assert read_coefficients(folder).note.startswith("found for")
        assert cs.network(folder / "baseline.toml") and cs.recipe(folder / "recipe.toml")
        return
    if (folder / "records.jsonl").exists():  # of a study that runs here and there
        assert read_finished([folder / "records.jsonl"])
        return
    if not (folder / "study.toml").exists():  # of published trainings, which come with Convscale
        found = read_record(folder)
        assert isinstance(found, GridResult) and GRIDS.read(found.spec.name) == found.spec and found.gains
        return
    asked = read_study(folder / "study.toml")
    header, *rows = (folder / "rows.csv").read_text().splitlines()
    assert ",".join(CSV_COLUMNS).startswith(header) and len(rows) >= len(asked.baselines)
