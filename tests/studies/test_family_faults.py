"""What the draft of issue 4 got wrong: each of these failed at 6e9bf12."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import convscale as cs
from convscale.cli.coefficients import command as coefficients_command
from convscale.cli.family import PHIS
from convscale.cli.family import command as family_command
from convscale.errors import ConfigError, InputError
from convscale.planning import family
from convscale.records import DataChoice, flat, read_record
from convscale.scaling import PAPER
from convscale.search.coefficients import SearchSettings
from convscale.statistics import order_changes
from convscale.studies.coefficients import TrainingSearch, search_by_training
from tests.planning.test_family import SMALL, invoke, json_of
from tests.works import Inline

DIGITS = DataChoice(source="digits", train_images=100, test_images=100)


def search(**options: object) -> TrainingSearch:
    few = {"share_step": 0.5, "seeds": 1, "final_seeds": 2, "probe": 3, "keep": 2, "budget": 1.0, "cost": 3.0}
    return TrainingSearch(baseline=SMALL, data=DIGITS, recipe=cs.recipe("digits"), epochs=(1, 2), options=few | options)


@pytest.mark.long
@pytest.mark.parametrize("wrong", [{"cost": 1.0}, {"cost": 1.001}, {"share_step": 0.0}])
def test_a_folder_is_not_claimed_by_a_search_that_could_not_begin(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        search_by_training(search(**wrong), tmp_path / "s", Inline(), quiet=True)
    found = search_by_training(search(), tmp_path / "s", Inline(), quiet=True)  # corrected, in the same folder
    assert found.cost == 3


@pytest.mark.parametrize("name", ["cost", "share_step", "step", "tolerance", "cost_tolerance"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_settings_that_are_no_numbers_are_refused_at_once(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        SearchSettings(lengths=(1, 2), **{name: value})  # type: ignore[arg-type]


def test_a_search_of_nan_cost_is_refused_by_the_command(tmp_path: Path) -> None:
    done = invoke(coefficients_command, "small-mbconv", "--data", "digits", "--cost", "nan", "-o", tmp_path / "s")
    assert isinstance(done.exception, ConfigError) and not (tmp_path / "s").exists()


def test_too_many_phis_are_counted() -> None:
    for text, count in (("0..1000", "1,001"), (f"0..{10**30}", f"{10**30 + 1:,}")):
        with pytest.raises(click.BadParameter, match=f"has {count} numbers"):
            PHIS.convert(text, None, None)


def test_an_absurd_member_is_named() -> None:
    with pytest.raises(ConfigError, match="phi 30.*times the baseline"):
        family(cs.network("efficientnet-b0"), PAPER.law(), [0, 30])


def test_accuracies_of_a_trained_family_are_not_written_over(tmp_path: Path) -> None:
    json_of(family_command, "small-mbconv", "--phi", "0..1", "-o", tmp_path)
    json_of(family_command, "small-mbconv", "--phi", "0..1", "-o", tmp_path)  # a table again: no harm
    (tmp_path / "settings.json").write_text('{"kind": "family"}')  # as --train leaves it
    before = (tmp_path / "family.json").read_text()
    done = invoke(family_command, "small-mbconv", "--phi", "0..2", "-o", tmp_path)
    assert done.exit_code == 2 and (tmp_path / "family.json").read_text() == before


def test_a_tie_for_the_best_is_no_change_of_the_best() -> None:
    short = {"a": {0: 0.5, 1: 0.5}, "b": {0: 0.5, 1: 0.5}}
    assert not order_changes(short, {"a": {0: 0.6, 1: 0.6}, "b": {0: 0.7, 1: 0.7}}).best_changes
    assert order_changes({"a": {0: 0.6}, "b": {0: 0.5}}, {"a": {0: 0.6}, "b": {0: 0.7}}).best_changes


@pytest.mark.long
def test_the_evidence_tells_lengths_seeds_and_intervals(tmp_path: Path) -> None:
    search_by_training(search(), tmp_path / "s", Inline(), quiet=True)
    told = flat(read_record(tmp_path / "s"))
    low, high = told["interval95"]["alpha"]
    assert f"alpha {low:.3f} to {high:.3f}" in told["note"] and "1, 2 epochs" in told["note"]
    for steps in told["lengths"]:
        assert f"{steps:,}" in told["note"]
