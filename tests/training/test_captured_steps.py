"""A captured step is the step that it replaces; on a CPU the same work is done without a graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.errors import TrainingError
from convscale.recipes import SGD, AdamW, Augmentation, RMSProp
from convscale.runs import Run
from convscale.training import step as step_module
from convscale.training.captured_step import CapturedStep
from convscale.training.checkpoint import load_newest
from convscale.training.rmsprop import TensorFlowRMSProp
from tests.training.small_runs import LIVELY, forked, killing_itself, state_of, tensors, trained

pytestmark = pytest.mark.gpu

SGD_STEPS = replace(LIVELY, accumulation=1, optimizer=SGD())
RECIPES = {
    "sgd": SGD_STEPS,
    "no momentum": replace(SGD_STEPS, optimizer=SGD(momentum=0.0), ema_decay=0.0, gradient_clip=0.0),
    "adamw": replace(SGD_STEPS, optimizer=AdamW(eps=1e-3), learning_rate=1e-3),
    "rmsprop": replace(SGD_STEPS, optimizer=RMSProp(), learning_rate=2e-3),
    "labels": replace(SGD_STEPS, augmentation=Augmentation(crop="shift")),
}


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are captured on a CPU too."""
    monkeypatch.setattr(step_module, "can_capture", lambda recipe, device, world: True)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_training_comes_to_the_same_weights(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: cs.Recipe
) -> None:
    """Up to rounding: learning rates are float32 on the device."""
    for name, captures in (("plain", False), ("captured", True)):
        monkeypatch.setattr(step_module, "can_capture", lambda *_, captures=captures: captures)
        trained(photos, tmp_path / name, replace(recipe, precision="fp32"))
    plain, other = tensors(tmp_path / "plain"), tensors(tmp_path / "captured")
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=2e-2, atol=2e-3, msg=name)
    losses = [[record.train_loss for record in Run(tmp_path / name).metrics()] for name in ("plain", "captured")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.usefixtures("captured")
def test_saving_at_any_step_changes_nothing(photos: Path, tmp_path: Path) -> None:
    for name, seconds in (("often", 0.0), ("never", 1e9)):
        trained(photos, tmp_path / name, SGD_STEPS, checkpoint_seconds=seconds)
    _same(tmp_path / "often", tmp_path / "never")


@pytest.mark.usefixtures("captured")
@pytest.mark.skipif(torch.cuda.is_available(), reason="a forked process has no GPU")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_run_ends_as_if_nothing_had_happened(photos: Path, tmp_path: Path, when: str) -> None:
    trained(photos, tmp_path / "whole", SGD_STEPS)
    work = killing_itself(when, 6, lambda: trained(photos, tmp_path / "killed", SGD_STEPS, checkpoint_seconds=0.0))
    assert forked(work) == -9
    cs.resume(tmp_path / "killed", quiet=True)
    assert state_of(tmp_path / "killed") == state_of(tmp_path / "whole")


def poison(monkeypatch: pytest.MonkeyPatch, *updates: int) -> None:
    """The pixels of these steps, from 1, are NaN."""
    launch = CapturedStep.launch

    def poisoned(self: CapturedStep, pixels: torch.Tensor, targets: Any, rates: Any, update: int) -> None:
        launch(self, pixels * float("nan") if update in updates else pixels, targets, rates, update)

    monkeypatch.setattr(CapturedStep, "launch", poisoned)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("step", [1, 6, 8, 12])  # the first, one within an epoch, the last ones of epochs
def test_a_loss_that_is_not_finite_stops(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It is noticed while the next step runs, which changes nothing: what is kept is the state before it."""
    trained(photos, tmp_path / "whole", SGD_STEPS)
    with monkeypatch.context() as patch:
        poison(patch, step)
        with pytest.raises(TrainingError, match=rf"loss nan.* in step {step} "):
            trained(photos, tmp_path / "run", SGD_STEPS)
    found = load_newest(tmp_path / "run" / "checkpoints")
    assert found is not None and found.state["position"]["total_steps"] == step - 1
    assert all(bool(tensor.isfinite().all()) for tensor in found.tensors.values())
    cs.resume(tmp_path / "run", quiet=True)
    _same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.long
@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_step_that_is_not_finite_can_be_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    """It alone: the step that was begun after it is taken again."""
    recipe = replace(SGD_STEPS, on_nonfinite=policy)
    poison(monkeypatch, 6)
    trained(photos, tmp_path / "run", recipe)
    trained(photos, tmp_path / "other", replace(recipe, on_nonfinite="skip"))
    _same(tmp_path / "run", tmp_path / "other")
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert events.count("not finite") == 1 and "in step 6 " in events
    poison(monkeypatch, *range(2, 99))
    said = "after 3 rollbacks" if policy == "rollback" else "skipped in a row"
    with pytest.raises(TrainingError, match=said):
        trained(photos, tmp_path / "more", replace(recipe, epochs=6))


@pytest.mark.usefixtures("captured")
def test_rmsprop_leaves_steps_out_too(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPES["rmsprop"], on_nonfinite="skip")
    poison(monkeypatch, 1, 6)
    trained(photos, tmp_path / "run", recipe)
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert events.count("not finite") == 2 and Run(tmp_path / "run").result() is not None


def test_a_step_of_rmsprop_is_left_out_on_the_device() -> None:
    """With gradients that are not finite nothing changes; with others it is the plain step."""
    chance = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, 4, generator=chance).requires_grad_() for _ in range(4)]
    plain = TensorFlowRMSProp([{"params": weights[:2], "weight_decay": 0.1}], 0.01, 0.9, 0.9, 1e-3)
    other = TensorFlowRMSProp([{"params": weights[2:], "weight_decay": 0.1}], 0.01, 0.9, 0.9, 1e-3)
    other.param_groups[0]["lr"] = torch.tensor(0.01)
    with torch.no_grad():
        for one, two in zip(weights[:2], weights[2:], strict=True):
            two.copy_(one)
    for failed in (0.0, 1.0, 0.0, 0.0, 1.0):
        other.found_inf = torch.tensor(failed)
        before = [weight.detach().clone() for weight in weights[2:]]
        for one, two in zip(weights[:2], weights[2:], strict=True):
            one.grad = torch.randn(3, 4, generator=chance)
            two.grad = one.grad * (float("nan") if failed else 1.0)
        other.step()
        if failed:
            assert all(map(torch.equal, before, weights[2:]))
        else:
            plain.step()
            torch.testing.assert_close(weights[2:], weights[:2])


def _same(one: Path, other: Path) -> None:
    """The same weights, to the bit on a CPU."""
    close = 1e-2 if torch.cuda.is_available() else 0
    for (name, value), wanted in zip(tensors(one).items(), tensors(other).values(), strict=True):
        torch.testing.assert_close(value, wanted, rtol=close, atol=close, msg=name)
