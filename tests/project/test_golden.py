"""Files of each format version that there was: they load, and mean what they meant (tests/fixtures/golden/make.py)."""

from __future__ import annotations

import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

import convscale as cs
from convscale.catalog import read_network
from convscale.data import fit_to_images
from convscale.errors import ConfigError, InputError
from convscale.files import read_json, read_toml
from convscale.formats import FORMAT_VERSION, UNNAMED, read_kept
from convscale.headers import Provenance, WeightsHeader, read_header
from convscale.networks import ConvNet
from convscale.planning import read_budget
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.records import RECORDS, Candidate, DataChoice, DataRecord, EpochRecord, StudySpec, read_record
from convscale.runs import Settings, create_run, open_run, open_unfinished_run
from convscale.scaling import read_coefficients
from convscale.schema import default_of, has_default, to_table
from convscale.search.coefficients import Candidates, SearchSettings, actual_shares
from convscale.search.coefficients import settings as search_settings
from convscale.studies.coefficients import TrainingSearch, read_search, resume_search
from convscale.studies.families import FamilyTraining, read_family_training, train_family
from convscale.studies.running import read_spec, resume_study
from convscale.studies.spec import read_study, settled
from convscale.trials.executor import Attempt, Ended
from convscale.trials.finished import FinishedTrial
from convscale.trials.folders import StudyFolder
from convscale.trials.status import study_status
from convscale.trials.training_work import choose_images
from convscale.trials.trial import Trial, TrialRecord
from tests.fixtures.golden.make import logits

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.name.startswith("v"))
KEPT = (
    ConvNet, Recipe, Preprocessing, Settings, Provenance, Trial, TrialRecord, StudySpec, TrainingSearch, SearchSettings,
    FamilyTraining, EpochRecord, FinishedTrial, *RECORDS.values(),
)  # fmt: skip


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the files of one version."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


@pytest.fixture
def expected(golden: Path) -> dict[str, Any]:
    """What they meant."""
    table: dict[str, Any] = read_json(golden / "expected.json")
    return table


class Idle:
    """An executor that must not be asked for anything."""

    slots = 1

    def start(self, attempt: Attempt) -> None:
        raise AssertionError(f"trained anew: {attempt}")

    def wait(self, timeout_seconds: float) -> list[Ended]:
        return []

    def close(self, *, grace_seconds: float = 5.0) -> None:
        return None


def test_every_version_before_this_one_is_kept() -> None:
    assert set(VERSIONS) >= {f"v{version}" for version in range(1, FORMAT_VERSION)}


# Runs and weights


def test_weights_give_the_same_logits_and_features(golden: Path, expected: dict[str, Any]) -> None:
    weights = golden / "run" / "weights.safetensors"
    torch.testing.assert_close(torch.tensor(logits(cs.load(weights))), torch.tensor(expected["logits"]))
    seen = cs.features(weights, cs.open_dataset("digits").test)[:4]
    torch.testing.assert_close(seen, torch.tensor(expected["features"]), rtol=1e-4, atol=1e-5)
    assert read_header(weights).network == read_network(golden / "network.toml")


def test_a_run_is_evaluated_to_the_same_accuracy(golden: Path, expected: dict[str, Any]) -> None:
    run = open_run(golden / "run")
    assert cs.evaluate(run.path, "digits", quiet=True).top1 == pytest.approx(expected["top1"], abs=0.003)
    result, data = run.result(), run.data()
    assert run.evaluation().top1 == expected["top1"] and result is not None and result.top1 == expected["top1"]
    assert data is not None and data.source == "digits" and len(run.metrics()) == run.recipe().epochs
    assert run.recipe() == cs.recipe(golden / "recipe.toml") and run.settings() == Settings(fresh_statistics_steps=0)
    assert run.preprocessing().size == 8
    costs = cs.cost(run.network()).as_dict()
    assert {key: costs[key] for key in expected["costs"]} == expected["costs"]


@pytest.mark.long
def test_an_interrupted_training_ends_as_it_would_have(golden: Path, expected: dict[str, Any]) -> None:
    path = golden / "unfinished"
    assert open_unfinished_run(path).result() is None
    torch.set_num_threads(1)
    run, evaluation = cs.resume(path, changes=["epochs=2"], quiet=True)
    assert evaluation.top1 == pytest.approx(expected["resumed_top1"], abs=0.02)
    result = run.result()
    assert result is not None and result.epochs == 2 and len(run.metrics()) == 2
    assert read_json(path / "environment.json")["format_version"] == int(golden.name[1:])


# Studies


def test_a_study_goes_on_without_a_training(golden: Path, expected: dict[str, Any]) -> None:
    pytest.importorskip("optuna")
    settings = settled(read_study(golden / "study.toml"))
    assert read_spec(golden / "study") == settings
    result = resume_study(golden / "study", Idle(), quiet=True)
    assert [row.accuracy for row in result.rows] == expected["study"]
    assert read_record(golden / "study") == result
    states = study_status(golden / "study")
    assert len(states) == 8 and {state.state for state in states} == {"finished"}


def candidates_of(folder: Path) -> Candidates:
    """Those that a search chose from then. The planner may find others today, which would be trained."""
    search = read_search(folder)
    baseline = fit_to_images(search.baseline, choose_images(search.data))
    found = []
    for one in read_json(folder / "coefficients.json")["candidates"]:
        scaling = cs.Scaling(**one["scaling"])
        network = cs.scale(baseline, scaling)
        shares, macs = tuple(one["shares"].values()), cs.cost(network).macs
        actual = actual_shares(baseline, scaling)
        found.append(Candidate(shares, actual, scaling, network, macs, macs / cs.cost(baseline).macs))
    return Candidates(tuple(found), (), 0)


def test_a_search_goes_on_without_a_training(
    golden: Path, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    folder = golden / "coefficients"
    then = candidates_of(folder)
    monkeypatch.setattr(search_settings, "candidates_at_cost", lambda *_, **__: then)
    read = read_coefficients(folder)
    assert [read.alpha, read.beta, read.gamma] == expected["coefficients"]
    assert read_search(folder).options["final_seeds"] == 2
    found = resume_search(folder, Idle(), quiet=True)
    assert [found.alpha, found.beta, found.gamma] == pytest.approx(expected["coefficients"])


def test_a_family_goes_on_without_a_training(golden: Path, expected: dict[str, Any]) -> None:
    pytest.importorskip("optuna")
    training = read_family_training(golden / "family")
    members = train_family(training, golden / "family", Idle(), quiet=True).members
    assert [member.accuracy for member in members] == expected["family"]


@pytest.mark.parametrize("name", ["study", "coefficients", "family"])
def test_trials_are_known_by_what_they_say_not_by_the_key_that_was_written(golden: Path, name: str) -> None:
    study = StudyFolder(golden / name)
    known = study.by_key()
    assert len(known) == len(study.trials()) > 0
    for folder in study.trials():
        record = folder.record()
        assert record is not None and record.result is not None and 0 <= record.result.accuracy <= 1
        assert known[folder.read().key] == folder


def test_budgets(golden: Path) -> None:
    assert read_budget(golden / "budget.toml") == cs.Budget(macs="600M", params="5M", latency_seconds=0.015)
    assert read_budget(golden / "budget.json") == cs.Budget(macs=6e8, file_bytes="20MB")


# Results


def test_results_read_back(golden: Path, expected: dict[str, Any]) -> None:
    found = read_record(golden / "study")
    assert [row.accuracy for row in found.rows] == expected["study"]
    assert found.spec == read_study(golden / "study" / "study.toml")
    assert read_record(golden / "run").top1 == expected["top1"]
    for file in golden.rglob("record.json"):
        assert read_record(file).number == int(file.parent.name) and read_record(file).result is not None


def test_a_search_that_says_too_little_says_so(golden: Path) -> None:
    if golden.name == "v1":
        with pytest.raises(ConfigError, match="neither their networks nor the accuracies of each seed"):
            read_record(golden / "coefficients")
    assert 1 <= read_coefficients(golden / "coefficients").alpha < 2


# Defaults that change later


def classes_of(kind: Any) -> set[type]:
    """The dataclasses that a table of this kind holds, itself too."""
    if not is_dataclass(kind):
        return set().union(*map(classes_of, get_args(kind)))
    return {kind}.union(*map(classes_of, get_type_hints(kind).values()))  # type: ignore[arg-type]


CLASSES = sorted(set().union(*map(classes_of, KEPT)), key=lambda kind: kind.__name__)


def test_what_files_do_not_name_is_written_down_for_every_field() -> None:
    assert len({kind.__name__ for kind in CLASSES}) == len(CLASSES)
    defaults = {kind.__name__: {one.name for one in fields(kind) if has_default(one)} for kind in CLASSES}
    assert {name: set(values) for name, values in UNNAMED.items()} == {k: v for k, v in defaults.items() if v}


@pytest.mark.parametrize("kind", CLASSES)
def test_no_field_that_may_be_none_is_something_else_by_default(kind: type) -> None:
    """None is not written, so that it must be what a field means that is not there."""
    for one in fields(kind):  # type: ignore[arg-type]
        if type(None) in get_args(get_type_hints(kind)[one.name]):
            assert not has_default(one) or default_of(one) is None
            assert UNNAMED.get(kind.__name__, {}).get(one.name) is None


OTHER = {"silu": "relu", "same": "symmetric", "ceil": "nearest", "input": "expanded", "sigmoid": "hard_sigmoid"}


def other(value: Any) -> Any:
    """Another default than `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value / 2 if isinstance(value, float) else value + 2
    return OTHER.get(value, value) if isinstance(value, str) else value


def change_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a later version would have it, which has other defaults wherever it can."""
    for kind in CLASSES:
        init: Any = kind.__init__  # type: ignore[misc]
        if init.__defaults__:
            monkeypatch.setattr(init, "__defaults__", tuple(map(other, init.__defaults__)))
        if init.__kwdefaults__:
            changed = {key: other(value) for key, value in init.__kwdefaults__.items()}
            monkeypatch.setattr(init, "__kwdefaults__", changed)


def meaning(golden: Path) -> dict[str, Any]:
    """What all the kept files say, as complete tables, and the logits of the weights."""
    runs = [open_run(golden / "run"), open_unfinished_run(golden / "unfinished")]
    parts: list[Any] = [read_header(runs[0].weights)]
    parts += [part for run in runs for part in (run.network(), run.recipe(), run.preprocessing(), run.settings())]
    folders = [golden / "study", golden / "coefficients", golden / "family"]
    parts += [
        read(folder) for read, folder in zip((read_spec, read_search, read_family_training), folders, strict=True)
    ]
    trials = [trial for folder in folders for trial in StudyFolder(folder).trials()]
    parts += [part for trial in trials for part in (trial.read(), trial.record())]
    keys = [trial.read().key for trial in trials]
    return {"parts": to_table(parts, complete=True), "keys": keys, "logits": logits(cs.load(runs[0].weights))}


def test_a_default_that_changes_changes_no_kept_file(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, written = meaning(golden), read_network(golden / "network.toml")
    change_defaults(monkeypatch)
    assert meaning(golden) == before
    now = read_network(golden / "network.toml")  # what a person writes takes the defaults of the day
    assert now != written and now.norm_eps == written.norm_eps / 2
    assert read_kept(ConvNet, read_toml(golden / "network.toml")) == written


def test_without_what_is_written_down_a_changed_default_would_show(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the check: version 1 files need UNNAMED."""
    before = meaning(golden)
    monkeypatch.setattr("convscale.formats.UNNAMED", {})
    change_defaults(monkeypatch)
    short = golden.name == "v1"
    try:
        assert (meaning(golden) != before) == short
    except InputError:
        assert short  # the other defaults do not go together


def test_files_of_today_need_nothing_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, recipe = cs.network("small-mbconv"), cs.recipe("digits")
    preprocessing = Preprocessing(32)
    header = WeightsHeader(network, preprocessing, tuple("abcdefghij"))
    cs.save_weights(tmp_path / "w.safetensors", cs.build(network, seed=0), header)
    data = DataRecord("digits", "stratified", 0, "label", 100, 100)
    run = create_run(tmp_path / "run", network, recipe, data, Settings(), {}, {}, preprocessing)
    trial = Trial(network=network, recipe=recipe, data=DataChoice(source="digits"), seed=0)
    folder = StudyFolder(tmp_path).add(trial)
    monkeypatch.setattr("convscale.formats.UNNAMED", {})
    change_defaults(monkeypatch)
    read = read_header(tmp_path / "w.safetensors")
    assert (read.network, read.preprocessing, read.format_version) == (network, preprocessing, FORMAT_VERSION)
    assert to_table(read.network, complete=True) == to_table(network, complete=True)
    assert (run.network(), run.recipe(), run.preprocessing()) == (network, recipe, preprocessing)
    assert folder.read() == trial and folder.read().key == trial.key
