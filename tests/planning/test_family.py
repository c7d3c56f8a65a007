"""Coefficients with their evidence, families of networks, and a real search by training on a handful of images."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import convscale as cs
from convscale.catalog import write_network
from convscale.cli.coefficients import command as coefficients_command
from convscale.cli.family import PHIS
from convscale.cli.family import command as family_command
from convscale.cli.plan import command as plan_command
from convscale.cli.study import command as study_command
from convscale.errors import ConfigError, RunError
from convscale.planning import family
from convscale.records import DataChoice, flat, read_record
from convscale.scaling import PAPER, compound_law, read_coefficients
from convscale.search.coefficients import SearchSettings
from convscale.studies.coefficients import TrainingSearch, read_search, resume_search
from convscale.studies.families import FamilyTraining, train_family
from convscale.trials.trial import Trial, TrialResult
from tests.works import Inline, begin, records_of, result

pytest.importorskip("optuna")

B0 = cs.network("efficientnet-b0")
SMALL = cs.network("small-mbconv").at_resolution(16)
SEARCH = [
    "--data", "digits", "--images", "100", "--test-images", "100", "--recipe", "digits", "--cost", "3", "--share-step",
    "1", "--lengths", "1,2", "--seeds", "1", "--final-seeds", "2", "--probe", "3", "--keep", "2", "--budget", "1",
    "--workers", "2", "-q",
]  # fmt: skip
PINNED = ["alpha", "beta", "gamma", "interval95", "equivalent", "candidates", "device_seconds"]


def invoke(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def output_of(command: Any, *arguments: object) -> str:
    done = invoke(command, *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def json_of(command: Any, *arguments: object) -> Any:
    return json.loads(output_of(command, *arguments, "--json"))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "base.toml"
    write_network(SMALL, path)
    return path


@pytest.fixture(scope="module")
def searched(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A real search in worker processes: its folder, and what --json said."""
    folder = tmp_path_factory.mktemp("search") / "found"
    return folder, json_of(coefficients_command, baseline, *SEARCH, "-o", folder)


# Coefficients and their evidence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nan,1.1,1.1", "nan"), ("0,1.1,1.1", "between 1"), ("-1,1.1,1.1", "between 1"), ("0.9,1.1,1.1", "between 1"),
        ("inf,1,1", "inf"), ("1,1,1", "scales nothing"), ("1.2,1.1", "not a set"), ("1,2,3,4", "not a set"),
        ("a,b,c", "not a set"), ("nowhere.toml", "nowhere.toml"),
    ],
)  # fmt: skip
def test_what_is_no_law_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_coefficients(text)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"alpha": 1.2, "beta": 1.1}, "gamma"), ({"alpha": 1.2, "beta": 1.1, "gamma": "1.15"}, "gamma"),
        ({"alpha": 1.2, "beta": 1.1, "gamma": 0.5}, "between 1"),
        ({"alpha": 1.2, "beta": 1.1, "candidates": []}, "gamma"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=message):
        read_coefficients(tmp_path / "c.json")


def test_numbers_and_notes_are_evidence(tmp_path: Path) -> None:
    given = read_coefficients("1.2,1.1,1.15")
    assert given.law() == PAPER.law() and given.note == "as given"
    (tmp_path / "c.toml").write_text('alpha = 1.3\nbeta = 1.05\ngamma = 1.2\nnote = "of a friend"\n')
    assert read_coefficients(tmp_path / "c.toml").note == "of a friend"
    assert "of a friend" in output_of(
        plan_command, "small-mbconv", "--macs", "30M", "--coefficients", tmp_path / "c.toml"
    )


def test_a_search_that_has_not_ended_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="convscale coefficients"):
        read_coefficients(tmp_path)
    (tmp_path / "settings.json").write_text('{"kind": "coefficients"}')
    with pytest.raises(ConfigError, match=f"not finished.*convscale study resume {tmp_path}"):
        read_coefficients(tmp_path)


def test_without_coefficients_the_papers_are_named_as_the_papers() -> None:
    for command, rest in ((plan_command, ["--macs", "600M"]), (family_command, ["--phi", "0..1"])):
        assert "the paper's, found for EfficientNet-B0 on ImageNet" in output_of(command, "efficientnet-b0", *rest)
        assert "ImageNet" in json_of(command, "efficientnet-b0", *rest)["evidence"]
        other = json_of(command, "efficientnet-b0", *rest, "--law", "depth")["evidence"]
        assert "paper" not in other and "as asked" in other


# Families


def test_the_papers_law_has_the_true_costs_that_rounding_gives_it() -> None:
    made = family(B0, PAPER.law(), [7, 0.5, 1, 2, 3.5, 5, 6, 0])
    ratios = {member.phi: member.cost_ratio for member in made.members}
    assert list(ratios) == [0, 0.5, 1, 2, 3.5, 5, 6, 7] and ratios[0] == 1
    expected = {0.5: 1.90, 1: 2.57, 2: 4.69, 3.5: 10.8, 5: 29.5, 6: 52.1, 7: 102.8}
    for phi, ratio in expected.items():
        assert ratios[phi] == pytest.approx(ratio, abs=0.005 if ratio < 5 else 0.05)
    for member in made.members:
        assert member.cost_ratio == cs.cost(member.network).macs / cs.cost(B0).macs
        assert member.ideal_ratio == 2**member.phi and cs.scale(B0, member.scaling) == member.network


@pytest.mark.parametrize(
    ("text", "found"),
    [("0..3", [0, 1, 2, 3]), ("2..2", [2]), ("0,0.5,1,2", [0, 0.5, 1, 2]), ("3.5", [3.5])],
)
def test_phis(text: str, found: list[float]) -> None:
    assert PHIS.convert(text, None, None) == tuple(found)


@pytest.mark.parametrize("text", ["", "0..", "3..0", "0,x", "0..1000", "nan", "inf", "-1,0", "1,1", "400"])
def test_bad_phis_are_refused(text: str) -> None:
    done = invoke(family_command, "efficientnet-b0", f"--phi={text}")
    error = done.exception if isinstance(done.exception, ConfigError) else done.output
    assert done.exit_code and "phi" in str(error)


def test_a_scaled_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match="already scaled from efficientnet-b0"):
        family(cs.network("efficientnet-b3"), PAPER.law(), [0, 1])


def test_the_family_command_writes_networks_that_are_what_the_table_says(tmp_path: Path) -> None:
    arguments = ("small-mbconv", "--coefficients", "1.3,1.1,1.05", "--phi", "0,0.5,2")
    told = json_of(family_command, *arguments, "-o", tmp_path / "made")
    assert flat(read_record(tmp_path / "made")) == told
    assert [told[name] for name in ("alpha", "beta", "gamma")] == [1.3, 1.1, 1.05] and "as given" in told["evidence"]
    base = cs.network("small-mbconv")
    for member, phi in zip(told["members"], (0, 0.5, 2), strict=True):
        network = cs.network(tmp_path / "made" / f"small-mbconv-phi{phi:g}.toml")
        assert network == cs.scale(base, compound_law(1.3, 1.1, 1.05)(phi))
        assert member["phi"] == phi and member["cost"]["macs"] == cs.cost(network).macs
        assert member["cost_ratio"] == cs.cost(network).macs / cs.cost(base).macs and member["ideal_ratio"] == 2**phi
    table = output_of(family_command, *arguments)
    assert "2^phi" in table and "as given" in table and "4.00x" in table


def growing(trial: Trial, run: Path) -> TrialResult:
    """More MACs are better, seeds differ a little; 24 px fails from seed 1."""
    begin(run)
    if trial.network.resolution > 20 and trial.seed == 1:
        raise RuntimeError("the loss exploded")
    return result(0.5 + cs.cost(trial.network).macs / 1e9 + trial.seed / 1000)


def family_training(**changes: Any) -> FamilyTraining:
    asked = {
        "baseline": SMALL, "law": compound_law(1.2, 1.1, 1.25), "phis": (0.0, 2.0),
        "data": DataChoice(source="digits", train_images=100), "recipe": cs.recipe("digits"), "seeds": 3,
    }  # fmt: skip
    return FamilyTraining(**(asked | changes))


def test_a_family_is_trained_once_for_the_images_at_hand(tmp_path: Path) -> None:
    executor = Inline(growing)
    small, large = train_family(family_training(), tmp_path / "f", executor, quiet=True).members
    for member in (small.member, large.member):  # digits: ten classes, grey
        assert (member.network.num_classes, member.network.input_channels) == (10, 1)
    accuracies = [0.5 + small.member.cost.macs / 1e9 + seed / 1000 for seed in range(3)]
    assert small.seeds == 3 and small.accuracy == pytest.approx(sum(accuracies) / 3) and small.failures == ()
    assert small.interval95 is not None and small.interval95[0] < accuracies[1] < small.interval95[1]
    assert large.member.network.resolution > 20 and large.seeds == 2 and "exploded" in large.failures[0]
    again = Inline(growing)
    assert train_family(family_training(), tmp_path / "f", again, quiet=True).members == (small, large)
    assert len(executor.started) == 6 and not again.started
    kept = read_record(tmp_path / "f")
    assert kept.members == (small, large) and kept.evidence.endswith("as settings.json has them")
    told = train_family(family_training(), tmp_path / "f", again, evidence="as given", quiet=True)
    assert read_record(tmp_path / "f") == told and told.evidence == "as given"
    assert train_family(family_training(), tmp_path / "f", again, quiet=True) == told  # resumed: it is remembered
    with pytest.raises(RunError, match="other settings: seeds was 3, is now 4"):
        train_family(family_training(seeds=4), tmp_path / "f", again, quiet=True)


def test_a_family_that_is_resumed_keeps_its_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def here(*options: object) -> Iterator[Inline]:
        yield Inline(growing)

    monkeypatch.setattr("convscale.cli.family.executor", here)
    monkeypatch.setattr("convscale.cli.study.executor", here)
    words = ["small-mbconv", "--phi", "0..1", "--coefficients", "1.3,1.1,1.05", "--train", "--data", "digits",
             "--images", "100", "--recipe", "digits", "--seeds", "2", "-q", "-o", tmp_path]  # fmt: skip
    first = json_of(family_command, *words)
    assert "as given" in first["evidence"]
    assert json_of(study_command, "resume", tmp_path, "-q") == first
    assert flat(read_record(tmp_path / "family.json")) == first
    assert json_of(family_command, *words) == first

    (tmp_path / "family.json").unlink()
    resumed = json_of(study_command, "resume", tmp_path, "-q")
    assert resumed["members"] == first["members"]
    assert resumed["evidence"] == "depth 1.3, width 1.1, resolution 1.05 at phi 1, as settings.json has them"
    assert json_of(family_command, *words) == first  # the command says it again, and is not another training


def test_training_a_family_needs_images_and_a_folder(tmp_path: Path) -> None:
    for rest in ([], ["--data", "digits"], ["-o", tmp_path / "f"]):
        done = invoke(family_command, "small-mbconv", "--train", *rest)
        assert done.exit_code == 2 and "--train needs --data and -o" in done.output
    assert not (tmp_path / "f").exists()


# A search by training


@pytest.mark.long
def test_a_search_gives_what_later_work_relies_on(searched: tuple[Path, dict[str, Any]]) -> None:
    folder, told = searched
    assert list(told)[: len(PINNED)] == PINNED
    assert set(told["interval95"]) == {"alpha", "beta", "gamma"}
    for name, (low, high) in told["interval95"].items():
        assert 1 <= low <= told[name] <= high
    assert set(told["equivalent"][0]) == {"depth", "width", "resolution"}
    base = cs.cost(replace(SMALL, num_classes=10, input_channels=1)).macs
    for one in told["candidates"]:
        assert {"shares", "scaling", "macs", "accuracy", "interval95", "seeds"} <= set(one)
        assert 0.98 * 3 * base <= one["macs"] <= 3 * base
    assert told == flat(read_record(folder))


def test_a_search_counts_what_its_trials_took(searched: tuple[Path, dict[str, Any]]) -> None:
    folder, told = searched
    records = records_of(folder)
    assert told["trainings"] == len(records) > len(told["candidates"])
    seconds = [record["result"]["device_seconds"] for record in records]  # type: ignore[index]
    assert told["device_seconds"] == pytest.approx(sum(seconds)) and min(seconds) > 0
    steps = {record["result"]["steps"] for record in records}  # type: ignore[index]
    assert steps == set(told["lengths"]) and len(steps) == 2


def test_a_search_leaves_a_table_a_picture_and_a_report(searched: tuple[Path, dict[str, Any]]) -> None:
    folder, told = searched
    assert (folder / "pictures" / "ternary.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["macs"]) for row in rows] == [one["macs"] for one in told["candidates"]]
    report = (folder / "report.md").read_text()
    for name in ("alpha", "beta", "gamma"):
        assert f"{told[name]:.3f}" in report
    assert "device-seconds" in report and "candidates swap" in report and "digits" in report


def test_plan_and_family_name_the_search_behind_their_law(searched: tuple[Path, dict[str, Any]]) -> None:
    folder, told = searched
    law = compound_law(told["alpha"], told["beta"], told["gamma"])
    assert read_coefficients(folder).law() == law
    planned = json_of(plan_command, "small-mbconv", "--macs", "30M", "--coefficients", folder)
    made = json_of(family_command, "small-mbconv", "--coefficients", folder, "--phi", "0..1")
    for evidence in (planned["evidence"], made["evidence"]):
        assert "small-mbconv" in evidence and "3 times its cost" in evidence and "digits" in evidence
        assert "ImageNet" not in evidence
    assert made["members"][1]["scaling"] == {"depth": law.depth, "width": law.width, "resolution": law.resolution}
    refused = invoke(plan_command, "small-mbconv", "--macs", "30M", "--coefficients", folder, "--alpha", "1.2")
    assert refused.exit_code == 2 and "already sets the law" in refused.output


def test_the_same_command_and_resume_train_nothing_again(searched: tuple[Path, dict[str, Any]], baseline: Path) -> None:
    folder, told = searched
    text = output_of(coefficients_command, baseline, *SEARCH, "-o", folder)
    assert all(f"{told[name]:.3f}" in text for name in ("alpha", "beta", "gamma"))
    assert f"convscale family {folder}/baseline.toml --coefficients {folder}" in text and "device-seconds" in text
    idle = Inline()
    found = resume_search(folder, idle, quiet=True)
    assert not idle.started and list(found.coefficients) == [told[name] for name in ("alpha", "beta", "gamma")]
    assert len(records_of(folder)) == told["trainings"]


def test_the_reports_command_is_of_the_same_search(
    searched: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given for the same folder it goes on there: other settings would be refused."""
    folder, told = searched
    lines = (folder / "report.md").read_text().splitlines()
    words = shlex.split(next(line for line in lines if line.startswith("convscale coefficients")))
    assert words[2] == "small-mbconv" and "recipe.toml" in words
    monkeypatch.chdir(folder)
    assert json_of(coefficients_command, *words[2:-1], folder, "-q") == told


def test_another_search_in_the_same_folder_is_refused(searched: tuple[Path, dict[str, Any]], baseline: Path) -> None:
    folder, _ = searched
    done = invoke(coefficients_command, baseline, *SEARCH, "--cost", "4", "-o", folder)
    assert isinstance(done.exception, RunError) and "options.cost was 3, is now 4" in str(done.exception)


def test_a_search_reads_back_as_it_was_asked(searched: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    found = read_search(searched[0])
    assert isinstance(found, TrainingSearch) and found.baseline == SMALL and found.epochs == (1, 2)
    assert found.data.source == "digits" and found.data.train_images == 100 and found.options["cost"] == 3
    with pytest.raises(RunError, match="no search for coefficients"):
        read_search(tmp_path)


def test_a_dry_run_trains_nothing(baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = json_of(coefficients_command, baseline, *SEARCH, "--dry-run")
    assert told["candidates"] == 3 and told["full_grid"]["trials"] == 6 and told["full_grid"]["seconds"] > 0
    assert not list(tmp_path.iterdir())


def test_the_commands_options_are_the_settings_of_a_search() -> None:
    defaults = {field.name: field.default for field in fields(SearchSettings) if field.name != "lengths"}
    options = {option.name: option.default for option in coefficients_command.params if option.name in defaults}
    assert options == {name: value for name, value in defaults.items() if name != "cost_tolerance"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cost", "1"], "cost 1.0 is not allowed"), (["--cost", "1.001"], "1.001 times its cost"),
        (["--share-step", "0"], "share step 0.0"), (["--method", "grid", "--step", "0"], "grid step 0.0"),
        (["--data", "nowhere"], "nowhere: no such file"), (["--images", "5000"], "not 5,000"),
        (["--lengths", "2"], "lengths"), (["--lengths", "2,1"], "lengths"), (["--seeds", "0"], "seeds 0"),
    ],
)  # fmt: skip
def test_bad_searches_are_refused(baseline: Path, tmp_path: Path, options: list[str], message: str) -> None:
    done = invoke(coefficients_command, baseline, *SEARCH, *options, "-o", tmp_path / "s")
    assert isinstance(done.exception, ValueError) and message in str(done.exception)
    assert not (tmp_path / "s" / "trials").exists()
