"""Studies whose learning rates are tuned: short trainings first, on images that are drawn for it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from convscale.errors import TrainingStopped
from convscale.records import DataChoice, read_record
from convscale.studies.designs import design
from convscale.studies.running import resume_study, run_study
from convscale.trials.executor import Ended
from convscale.trials.training_work import choose_images, fingerprint_of
from convscale.trials.trial import Trial
from tests.studies.planted import BASE, DIGITS, FOUR, accuracy, plant, ran, spec
from tests.works import Inline

pytest.importorskip("optuna")

TUNED = spec(methods=FOUR[1:3], lengths=(5, 20), tune_rate=True)


def favours(trial: Trial) -> float:
    """A higher rate is better for all but deep networks; one that is too high for them fails."""
    deep = trial.network.num_blocks > BASE.num_blocks
    if not trial.data.tuning:
        return accuracy(trial)
    if deep and trial.recipe.learning_rate > 0.01:
        return float("nan")
    return 0.5 + (-1 if deep else 1) * trial.recipe.learning_rate


def test_scans_run_first_and_the_trainings_use_what_they_chose(tmp_path: Path) -> None:
    executor = Inline(plant(favours))
    result = run_study(TUNED, tmp_path, executor, quiet=True)
    begun = [attempt.trial for attempt in executor.started]
    scans, rest = begun[:9], begun[9:]
    assert len(begun) == 9 + 3 * 2 * 3
    assert all(one.data.tuning and one.seed == 0 and one.recipe.epochs == 2 for one in scans)
    assert not any(one.data.tuning for one in rest)
    chosen = {one.method: one for one in result.rates}
    assert list(chosen) == ["baseline", "depth", "width"]
    assert chosen["baseline"].chosen == chosen["width"].chosen == max(chosen["width"].rates) == 0.1
    assert chosen["depth"].chosen == min(chosen["depth"].rates) < 0.01
    assert chosen["depth"].accuracies[0] is not None and None in chosen["depth"].accuracies
    for trial in rest:
        method = {7: "baseline"}.get(trial.network.num_blocks, "depth")
        assert trial.recipe.learning_rate == chosen[method].chosen
    text = (tmp_path / "report.md").read_text()
    assert "## Learning rates" in text and "trainings of 2 epochs" in text and "failed" in text
    assert read_record(tmp_path) == result


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


@pytest.mark.parametrize(("at", "held"), [(3, True), (8, False), (9, True)], ids=["short", "the last short", "first"])
def test_a_signal_before_anything_can_be_reported_is_silent(
    tmp_path: Path, at: int, held: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = Signalled(at, held=held)
    with pytest.raises(TrainingStopped):
        run_study(TUNED, tmp_path, executor, quiet=True)
    assert len(executor.started) == at + 1 and executor.closed
    assert not capsys.readouterr().err and not (tmp_path / "report.md").exists()


def test_where_all_short_trainings_fail_the_rule_decides(tmp_path: Path) -> None:
    def broken(trial: Trial) -> float:
        return float("nan") if trial.data.tuning else accuracy(trial)

    result = ran(tmp_path, TUNED, broken)
    for one in result.rates:
        assert one.accuracies == (None, None, None) and one.chosen == one.rates[1]


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
