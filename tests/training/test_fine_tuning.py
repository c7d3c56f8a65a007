"""Fine-tuning: its phases and rates, early stopping, and a budget for a network with weights."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.errors import BudgetError, ConfigError, TrainingStopped
from convscale.headers import read_header
from convscale.nn import build
from convscale.planning import plan_resolution
from convscale.training import session
from convscale.training.loop import Loop
from convscale.training.optimizer import is_norm, learning_rate, make_optimizer
from convscale.training.session import Session
from convscale.training.step import Stepper
from tests.training.small_runs import NETWORK, PROBE, TUNE, few, state_of, tensors, tuned

# What a recipe says.


def test_the_head_goes_first() -> None:
    """The full rate while the classifier is alone, then warm-up and course as if training began there."""
    recipe = replace(TUNE, epochs=9, head_epochs=2, warmup_epochs=2)
    plain = replace(TUNE, epochs=7, head_epochs=0, warmup_epochs=2)
    assert [learning_rate(recipe, epoch) for epoch in (0, 1.9, 2)] == [0.02, 0.02, 0]
    assert all(learning_rate(recipe, epoch + 2) == learning_rate(plain, epoch) for epoch in (0.5, 1, 2, 5, 7))
    assert recipe.with_changes(epochs=16).head_epochs == 2 and recipe.with_changes(epochs=16).warmup_epochs == 4
    assert recipe.with_changes(epochs=1).head_epochs == 0
    with pytest.raises(ConfigError, match="head_epochs 5 is not allowed"):
        replace(TUNE, head_epochs=5)


def test_earlier_layers_learn_more_slowly() -> None:
    model = build(NETWORK)
    optimizer = make_optimizer(model, TUNE)
    shares = {id(p): group["rate_share"] for group in optimizer.param_groups for p in group["params"]}
    assert len(shares) == len(list(model.parameters())) == sum(len(g["params"]) for g in optimizer.param_groups)
    parts = [model.stem, *model.stages, model.head]
    for index, part in enumerate(parts):
        assert {shares[id(p)] for p in part.parameters()} == {0.5 ** (len(parts) - 1 - index)}
    even = make_optimizer(model, replace(TUNE, layer_decay=1.0, head_epochs=0))
    assert [group["rate_share"] for group in even.param_groups] == [1, 1]  # weights, and what has no weight decay


def test_steps_and_momentum_follow_the_images() -> None:
    """Kornblith's protocol: 20,000 steps and BN momentum max(1 - 10 / s, 0.9) in TensorFlow's convention."""
    recipe = cs.recipe("kornblith")
    assert (recipe.batch, recipe.optimizer) == (256, cs.recipe("small-images").optimizer)
    for images, steps in ((2040, 7), (50_000, 195)):
        fitting = recipe.for_images(images)
        assert fitting.epochs == round(20_000 / steps) and fitting.norm_momentum == min(10 / steps, 0.1)
        assert fitting.for_images(images) == fitting
    assert recipe.with_changes(epochs=3).for_images(2040).epochs == 3
    assert recipe.with_settings(["epochs=3", "warmup_epochs=0"]).for_images(2040).epochs == 3
    choices = recipe.choices()
    assert len(choices) == 7 * 8 and not any(choice.search for choice in choices)
    assert {choice.learning_rate for choice in choices} == {1e-4, 3.16e-4, 1e-3, 3.16e-3, 0.01, 0.0316, 0.1}
    assert {round(choice.weight_decay * choice.learning_rate, 9) for choice in choices} == {
        0, 1e-6, 3.16e-6, 1e-5, 3.16e-5, 1e-4, 3.16e-4, 1e-3,
    }  # fmt: skip


# Training.


@pytest.mark.long
def test_fine_tuning_in_phases(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier alone at first; then all weights move, and frozen statistics never do."""
    seen: list[dict[str, torch.Tensor]] = []
    finish = Session.keep_record

    def spy(self: Session, record: Any) -> None:
        seen.append({name: value.clone() for name, value in self.state.model.state_dict().items()})
        finish(self, record)

    monkeypatch.setattr(Session, "keep_record", spy)
    tuned(weights, tmp_path / "run", TUNE)
    before, trunk = tensors(weights), [name for name in seen[0] if not name.startswith("head.classifier.")]
    assert all(torch.equal(before[name], seen[0][name]) for name in trunk)
    assert seen[0]["head.classifier.linear.weight"].shape == (5, before["head.classifier.linear.weight"].shape[1])
    last = seen[-1]
    moved = [name for name in trunk if not torch.equal(before[name], last[name])]
    statistics = [name for name in trunk if "running" in name]
    assert not set(moved) & set(statistics) and len(moved) >= 0.95 * (len(trunk) - 2 * len(statistics))
    seen.clear()
    tuned(weights, tmp_path / "moving", replace(TUNE, norm_statistics="batch"))
    assert all(torch.equal(before[name], seen[0][name]) for name in trunk)
    assert not any(torch.equal(before[name], seen[-1][name]) for name in statistics)


def test_only_what_learns_has_gradients(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[tuple[int, bool]] = []
    take = Stepper.take

    def spy(self: Stepper, batch: Any) -> Any:
        outcome = take(self, batch)
        norms = [module.training for module in self.state.model.modules() if is_norm(module)]
        counts.append((sum(p.grad is not None for p in self.state.model.parameters()), any(norms)))
        return outcome

    monkeypatch.setattr(Stepper, "take", spy)
    for recipe in (TUNE, replace(TUNE, optimizer=cs.recipe("efficientnet").optimizer, learning_rate=0.001)):
        counts.clear()
        tuned(weights, tmp_path / recipe.optimizer.TYPE, recipe)
        whole = len(list(build(NETWORK).parameters()))
        assert counts[:7] == [(2, False)] * 7 and counts[7:] == [(whole, False)] * 21


@pytest.mark.parametrize("epoch", [1, 2])
def test_fine_tuning_resumes_in_either_phase(
    epoch: int, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(weights, tmp_path / "whole", TUNE)
    take = Stepper.take

    def stop(self: Stepper, batch: Any) -> Any:
        if (self.state.position.epoch, self.state.position.step) == (epoch - 1, 3):
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stop)
    with pytest.raises(TrainingStopped):
        tuned(weights, tmp_path / "run", TUNE)
    monkeypatch.undo()
    cs.resume(tmp_path / "run", data=few(), quiet=True)
    assert state_of(tmp_path / "run") == state_of(tmp_path / "whole")


def test_a_resumed_training_counts_from_where_it_was(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its time left, and the steps after which TensorBoard's events are dropped."""
    keep = Session.keep_record

    def stop(self: Session, record: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        keep(self, record)

    monkeypatch.setattr(Session, "keep_record", stop)
    with pytest.raises(TrainingStopped):
        tuned(weights, tmp_path / "run", TUNE)
    monkeypatch.setattr(Session, "keep_record", keep)
    opened: list[int] = []
    monkeypatch.setattr(session, "open_board", lambda run, settings, step: opened.append(step))
    capsys.readouterr()
    cs.resume(tmp_path / "run", data=few())
    last = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch 4/4")][-1]
    assert opened[0] > 0 and last.endswith("done")


def test_weights_serve_any_input_size(weights: Path, tmp_path: Path) -> None:
    network = NETWORK.at_resolution(17)
    run, _ = cs.train(network, few(), TUNE, tmp_path / "run", pictures=False, quiet=True, weights=str(weights))
    assert run.preprocessing().size == 17 and read_header(run.weights).network.resolution == 17


@pytest.mark.long
def test_a_recipe_that_needs_weights_says_so(weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, recipe in (("head", PROBE), ("frozen", replace(TUNE, epochs=1, head_epochs=0))):
        for start in (None, str(weights)):
            cs.train(NETWORK, few(20, 10, 2), recipe, tmp_path / f"{name}-{start is None}", weights=start)
            assert ("starts from random weights: add --weights FILE" in capfd.readouterr().err) == (start is None)


# Early stopping.


@pytest.mark.long
def test_early_stopping_keeps_the_best(weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Chosen by images held out of the training split; the test split is looked at once."""
    recipe = replace(TUNE, epochs=40, patience=2, validation_share=0.25, learning_rate=0.03)
    data = few(160)
    run, evaluation = cs.train(NETWORK, data, recipe, tmp_path / "run", weights=str(weights))
    metrics, record = run.metrics(), run.result()
    assert record is not None and len(metrics) == record.epochs < 40
    best = max(metrics, key=lambda row: row.top1)  # the first of equals
    assert (record.best_epoch, record.best_top1) == (best.epoch, best.top1) and record.epochs == best.epoch + 2
    kept, chosen = tensors(run.weights), tensors(run.path / "best.safetensors")
    assert all(torch.equal(value, chosen[name]) for name, value in kept.items())
    assert evaluation.n == 60 and round(best.top1 * 40, 6).is_integer()  # 40 of 160 are the validation images
    told = capfd.readouterr().err
    assert f"stopped after {record.epochs} of 40 epochs; epoch {best.epoch} was best on the validation images" in told
    assert "validation top-1" in told and "held-out top-1" not in told


@pytest.mark.long
def test_early_stopping_resumes(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(TUNE, epochs=12, patience=3, validation_share=0.25)
    whole = tuned(weights, tmp_path / "whole", recipe)
    finish = Loop._take_best

    def stop(self: Loop) -> None:  # all epochs are done, the result is not written
        signal.raise_signal(signal.SIGTERM)
        finish(self)

    monkeypatch.setattr(Loop, "_take_best", stop)
    with pytest.raises(TrainingStopped):
        tuned(weights, tmp_path / "run", recipe)
    monkeypatch.undo()
    _, again = cs.resume(tmp_path / "run", data=few(), quiet=True)
    assert again == whole and state_of(tmp_path / "run") == state_of(tmp_path / "whole")


# Through fit.


def test_a_budget_shrinks_the_input_alone() -> None:
    network = cs.network("mobilenet-v2")
    planned = plan_resolution(network, cs.Budget(macs="100M"))
    assert planned.network == network.at_resolution(planned.network.resolution)
    larger = network.at_resolution(planned.network.resolution + 1)
    assert cs.cost(planned.network).macs <= 100e6 < cs.cost(larger).macs and planned.chosen.scaling.depth == 1
    assert plan_resolution(network, cs.Budget(macs="10G")).network == network
    with pytest.raises(BudgetError, match="params 1,000,000 is too little"):
        plan_resolution(network, cs.Budget(params="1M"))
    with pytest.raises(BudgetError, match="latency"):
        plan_resolution(network, cs.Budget(latency_seconds="1s"))


def test_fit_from_weights(weights: Path, photos: Path, tmp_path: Path) -> None:
    own = cs.cost(NETWORK).macs
    budget = cs.Budget(macs=0.7 * own)
    for recipe in (None, "linear-probe"):
        fitted = cs.fit(
            photos, budget, weights=weights, recipe_name=recipe, epochs=None if recipe else 1,
            output=tmp_path / str(recipe), quiet=True,
        )  # fmt: skip
        assert fitted.choice.recipe_name == (recipe or "finetune")
        network = fitted.run.network()
        assert network == NETWORK.with_classes(3).at_resolution(network.resolution) and network.resolution < 12
        assert cs.cost(network).macs <= 0.7 * own and "the network of its weights" in "\n".join(fitted.summary())
    with pytest.raises(ConfigError, match="weights decide the network"):
        cs.fit("digits", budget, weights=weights, baseline="small-resnet", output=tmp_path / "no")
