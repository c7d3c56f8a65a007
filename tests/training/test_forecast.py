"""What a training will take: by the first steps of each phase, and by what an evaluation took. No clock decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.nn.processes import Processes
from convscale.recipes import Recipe
from convscale.runs import Run, Settings
from convscale.training import estimate
from convscale.training import time_forecast as forecasts
from convscale.training.phases import set_learning
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper
from convscale.training.time_forecast import Forecast
from tests.training.small_runs import NETWORK, TUNE, few

STEPS = 20  # an epoch
PHASES = replace(TUNE, epochs=4, head_epochs=1, batch=6)


def forecast_of(recipe: Recipe) -> Forecast:
    job = make_job(NETWORK, few(120, 60), recipe, Run(Path("unused")), Settings(), quiet=True)
    return Forecast(job, make_state(job, Processes()), STEPS, 1)


def take(forecast: Forecast, steps: int, seconds: float) -> None:
    """Steps of so many seconds each, their batches a tenth of that."""
    for _ in range(steps):
        forecast.add_wait(seconds / 10)
        forecast.add_step(seconds)
        forecast.state.position.total_steps += 1
        forecast.state.position.run_seconds += 1.1 * seconds


def test_each_phase_is_forecast_by_its_own_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "forward_seconds", lambda _model, pixels: (0.5, len(pixels)))
    forecast, pixels = forecast_of(PHASES), torch.zeros(5, 1, 12, 12)
    position = forecast.state.position
    assert forecast.begin_epoch() and not forecast.begin_epoch()
    take(forecast, 11, 1.0)
    assert not forecast.is_due
    take(forecast, 1, 1.0)
    assert forecast.is_due
    assert "from the first 12 steps of the classifier alone" in forecast.make(pixels, save_seconds=2.0)
    evaluation = 60 * (0.5 / 5 + 0.1 / 6)
    assert position.predicted_seconds == pytest.approx(12 * 1.1 + 8 * 1.1 + 60 * 3.1 + 4 * (evaluation + 2))
    assert not forecast.is_due

    take(forecast, 8, 1.0)
    forecast.add_evaluation(60, 30.0)  # measured: nothing is guessed by the pixels any more
    position.run_seconds, position.epoch = 52.0, 1
    assert forecast.begin_epoch()
    take(forecast, 12, 7.0)
    assert forecast.is_due
    assert forecast.make(pixels, save_seconds=2.0).endswith("(from the first 12 steps)")
    assert position.predicted_seconds == pytest.approx(52 + 60 * 7.7 + 3 * (30 + 2))
    position.epoch = 2
    assert not forecast.begin_epoch() and not forecast.is_due


def test_evaluations_of_other_images_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those held out for early stopping after each epoch, and the test images at the end."""
    forecast = forecast_of(replace(PHASES, head_epochs=0, patience=2, validation_share=0.25))
    assert forecast.job.validation is not None and len(forecast.job.validation) == 30
    forecast.begin_epoch()
    forecast.add_evaluation(30, 3.0)
    take(forecast, 12, 1.0)
    forecast.make(torch.zeros(5, 1, 12, 12), save_seconds=0.0)
    assert forecast.state.position.predicted_seconds == pytest.approx(80 * 1.1 + (4 * 30 + 60) / 10)


@pytest.mark.parametrize(("head_epochs", "epochs"), [(0, 1), (3, 3), (1, 3)])
def test_phases_shorter_than_the_steps_to_forecast_by(head_epochs: int, epochs: int) -> None:
    forecast = forecast_of(replace(PHASES, head_epochs=head_epochs, epochs=epochs, warmup_epochs=0))
    forecast.steps_per_epoch, position = 3, forecast.state.position
    made = []
    for position.epoch in range(epochs):
        forecast.begin_epoch()
        for _ in range(3):
            take(forecast, 1, 1.0)
            if forecast.is_due:
                made.append((position.total_steps, forecast.make(torch.zeros(5, 1, 12, 12), 0.0)))
    # Nothing is forecast at the end; a classifier that trains alone to the end is one phase.
    assert [steps for steps, _ in made] == {(0, 1): [], (3, 3): [], (1, 3): [3]}[head_epochs, epochs]


def test_an_evaluation_is_measured_without_a_trace() -> None:
    forecast = forecast_of(PHASES)
    model = forecast.state.model
    set_learning(model, PHASES, 1)
    before, modes = forecast.state.tensors(), [module.training for module in model.modules()]
    generator = torch.random.get_rng_state()
    seconds, images = forecasts.forward_seconds(model, torch.randn(100, 1, 12, 12, generator=torch.Generator()))
    assert seconds > 0 and images == 64
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in forecast.state.tensors().items())
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_a_training_says_it_once_a_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = cs.train(NETWORK, few(96, 20), replace(PHASES, epochs=2, patience=0), tmp_path / "run", pictures=False)
    said = [line for line in capsys.readouterr().err.splitlines() if " (from the first 12 steps" in line]
    assert len(said) == 2 and "of the classifier alone; estimated again when all layers train" in said[0]
    result = run.result()
    assert result is not None and result.predicted_seconds is not None and result.predicted_seconds > 0


def test_an_estimate_measures_each_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    learning: list[int] = []
    real = Stepper.take

    def counted(self: Stepper, batch: Any) -> Any:
        learning.append(len(self.trainable))
        return real(self, batch)

    monkeypatch.setattr(Stepper, "take", counted)
    found = estimate(NETWORK, few(), PHASES)
    assert set(learning) == {2, learning[-1]} and learning[-1] > 2
    assert found.steps == 80 and found.seconds > 0
