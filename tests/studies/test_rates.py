"""Studies whose learning rates are tuned: short trainings first, on images that are drawn for it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from convscale.errors import RunError, TrainingStopped
from convscale.recipes.rates import FURTHER
from convscale.records import DataChoice, read_record
from convscale.studies.designs import design
from convscale.studies.rates import further_at_most
from convscale.studies.running import report_study, resume_study, run_study
from convscale.trials.executor import Ended
from convscale.trials.sizing import size_of
from convscale.trials.status import study_status
from convscale.trials.training_work import choose_images, fingerprint_of
from convscale.trials.trial import Trial
from tests.studies.planted import BASE, DIGITS, FOUR, accuracy, plant, ran, spec
from tests.works import Inline

pytest.importorskip("optuna")

TUNED = spec(methods=FOUR[1:3], lengths=(5, 20), tune_rate=True)


def favours(trial: Trial) -> float:
    """0.2, the first rate above the three, is the best for all but deep networks, for which a smaller one is always
    better, and one that is too high fails."""
    deep = trial.network.num_blocks > BASE.num_blocks
    if not trial.data.tuning:
        return accuracy(trial)
    rate = trial.recipe.learning_rate
    if deep:
        return float("nan") if rate > 0.01 else 0.5 - rate
    return 0.9 - abs(rate - 0.2)


@pytest.mark.long
def test_scans_run_first_and_the_trainings_use_what_they_chose(tmp_path: Path) -> None:
    executor = Inline(plant(favours))
    result = run_study(TUNED, tmp_path, executor, quiet=True)
    begun = [attempt.trial for attempt in executor.started]
    scans, rest = begun[:17], begun[17:]
    assert len(rest) == 3 * 2 * 3
    assert all(one.data.tuning and one.seed == 0 and one.recipe.epochs == 2 for one in scans)
    assert not any(one.data.tuning for one in rest)
    chosen = {one.method: one for one in result.rates}
    assert list(chosen) == ["baseline", "depth", "width"]
    assert chosen["baseline"].rates == chosen["width"].rates == (0.025, 0.05, 0.1, 0.2, 0.4)
    assert chosen["baseline"].chosen == chosen["width"].chosen == 0.2 and chosen["width"].enclosed
    deep = chosen["depth"]
    assert deep.chosen == min(deep.rates) < 0.001 and deep.accuracies[0] is not None and deep.accuracies[-1] is None
    assert len(deep.rates) == 3 + FURTHER and deep.open_ends == (True, False) and not deep.enclosed
    rates = [one.recipe.learning_rate for one in scans]
    rounds = rates[:9], rates[9:12], rates[12:15], rates[15:16], rates[16:]  # of all networks at once
    low = deep.rates[3::-1]
    assert rounds[1:] == ([0.2, low[0], 0.2], [0.4, low[1], 0.4], [low[2]], [low[3]])
    for trial in rest:
        method = {7: "baseline"}.get(trial.network.num_blocks, "depth")
        assert trial.recipe.learning_rate == chosen[method].chosen
    text = (tmp_path / "report.md").read_text()
    assert "## Learning rates" in text and "trainings of 2 epochs" in text and "failed" in text
    assert "\nNot enclosed: small-mbconv depth at 4x. No rate did better than the smallest of those tried" in text
    assert text.count("Not enclosed") == 1
    assert read_record(tmp_path) == result
    assert [one["enclosed"] for one in result.as_dict()["rates"]] == [True, False, True]


@pytest.mark.long
def test_a_study_that_is_resumed_keeps_its_rates(tmp_path: Path) -> None:
    result = ran(tmp_path, TUNED, favours)
    executor = Inline(plant(favours))
    assert resume_study(tmp_path, executor, quiet=True) == result and not executor.started


class Signalled(Inline):
    """Gets a signal while trial `at` runs, which ends all the same unless it is `held`."""

    def __init__(self, at: int, *, held: bool) -> None:
        super().__init__(plant(favours), slots=1)
        self.at, self.held = at, held

    def wait(self, timeout_seconds: float) -> list[Ended]:
        if not self.todo or self.todo[0].trial_number != self.at:
            return super().wait(timeout_seconds)
        os.kill(os.getpid(), signal.SIGTERM)
        return [] if self.held else super().wait(timeout_seconds)


@pytest.mark.long
@pytest.mark.parametrize(("at", "held"), [(3, True), (8, False), (10, True), (16, False), (17, True)])
def test_a_signal_before_anything_can_be_reported_is_silent(
    tmp_path: Path, at: int, held: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = Signalled(at, held=held)
    with pytest.raises(TrainingStopped):
        run_study(TUNED, tmp_path, executor, quiet=True)
    assert len(executor.started) == at + 1 and executor.closed
    assert not capsys.readouterr().err and not (tmp_path / "report.md").exists()


@pytest.mark.long
@pytest.mark.parametrize("at", [10, 13])
def test_a_round_that_was_stopped_goes_on(tmp_path: Path, at: int) -> None:
    with pytest.raises(TrainingStopped):
        run_study(TUNED, tmp_path / "stopped", Signalled(at, held=True), quiet=True)
    states = [state.state for state in study_status(tmp_path / "stopped")]
    assert set(states[:at]) == {"finished", "failed"} and states[at:] == ["interrupted", "waiting"]
    with pytest.raises(RunError, match="no trial has ended"):
        report_study(tmp_path / "stopped")
    executor = Inline(plant(favours))
    result = resume_study(tmp_path / "stopped", executor, quiet=True)
    assert [attempt.trial_number for attempt in executor.started] == list(range(at, 17 + 3 * 2 * 3))
    assert result == ran(tmp_path / "whole", TUNED, favours)


@pytest.mark.long
def test_equal_rates_are_not_enclosed(tmp_path: Path) -> None:
    """The earlier of equal ones is taken, and beyond the outer one there may still be a better."""

    def level(trial: Trial) -> float:
        return min(trial.recipe.learning_rate, 0.05) if trial.data.tuning else accuracy(trial)

    base = ran(tmp_path, replace(TUNED, methods=FOUR[2:3]), level).rates[0]
    assert base.rates == (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6) and base.chosen == 0.05
    assert base.open_ends == (False, True) and not base.enclosed
    text = (tmp_path / "report.md").read_text()
    assert "Not enclosed: small-mbconv baseline, small-mbconv width at 4x. No rate did better than the greatest" in text


@pytest.mark.long
def test_where_all_short_trainings_fail_the_rule_decides(tmp_path: Path) -> None:
    def broken(trial: Trial) -> float:
        return float("nan") if trial.data.tuning else accuracy(trial)

    result = ran(tmp_path, TUNED, broken)
    for one in result.rates:
        assert one.accuracies == (None, None, None) and one.chosen == one.rates[1]
        assert one.failed and not one.enclosed and one.open_ends == (False, False)
    text = (tmp_path / "report.md").read_text()
    assert "Not known: small-mbconv baseline, small-mbconv depth at 4x" in text and "Not enclosed" not in text


@pytest.mark.long
def test_a_study_is_sized_with_the_rates_that_may_follow() -> None:
    designed = design(TUNED)
    further = further_at_most(designed)
    assert len({trial.key for trial in further} - {trial.key for trial in designed.scans().values()}) == 3 * FURTHER
    size = size_of([*designed.scans().values(), *designed.trials().values()], 2, further)
    assert (size.trials, size.further_trials) == (9 + 18, 3 * FURTHER) and 0 < size.further_seconds < size.seconds
    assert f"up to {3 * FURTHER} short trainings" in "\n".join(size.lines())
    assert further_at_most(design(replace(TUNED, tune_rate=False))) == []


def test_rates_are_judged_by_images_of_the_training_half() -> None:
    data = DataChoice(source="digits", train_images=200, test_images=50)
    whole, tuning = choose_images(data), choose_images(replace(data, tuning=True))
    names = {whole.train.name(index) for index in range(len(whole.train))}
    judged = {tuning.test.name(index) for index in range(len(tuning.test))}
    trained = {tuning.train.name(index) for index in range(len(tuning.train))}
    assert judged | trained == names and not judged & trained and 15 <= len(judged) <= 25
    assert fingerprint_of(data) != fingerprint_of(replace(data, tuning=True))


def test_a_study_without_tuning_is_as_before() -> None:
    designed = design(spec(methods=FOUR[1:3]))
    assert designed.scans() == {} and designed.rates == ()
    rates = {trial.recipe.learning_rate for trial in designed.trials().values()}
    assert len(rates) == 1
    assert replace(DIGITS, tuning=False) == DIGITS
