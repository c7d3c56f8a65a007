"""Transfer learning: the linear probe, fine-tuning in its phases, early stopping, the search for hyper-parameters."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import convscale as cs
from convscale.data import Dataset
from convscale.data.images import ArrayImages, Subset
from convscale.dialects import Choices
from convscale.errors import BudgetError, ConfigError, DataError, RunError, TrainingError, TrainingStopped
from convscale.evaluation.feature_extraction import Seen, look
from convscale.evaluation.measurement import measure
from convscale.files import write_atomic
from convscale.headers import read_header
from convscale.nn import Model, build, folded, place
from convscale.nn.layers import ConvNormAct
from convscale.planning import plan_resolution
from convscale.recipes import LBFGS, Augmentation, Recipe, SearchGrid
from convscale.runs import Run
from convscale.training import session
from convscale.training.loop import Loop
from convscale.training.optimizer import is_norm, learning_rate, make_optimizer
from convscale.training.probe import fit_classifier
from convscale.training.session import Session
from convscale.training.step import Stepper
from tests.images import digit_photos

NETWORK = replace(cs.network("small-mbconv"), resolution=12, input_channels=1)
TUNE = Recipe(
    note="a test", epochs=4, batch=16, learning_rate=0.02, warmup_epochs=1, head_epochs=1, layer_decay=0.5,
    norm_statistics="frozen", augmentation=Augmentation(crop="shift"),
)  # fmt: skip
PROBE = Recipe(
    note="a test", epochs=1, batch=16, learning_rate=1, weight_decay=0.01, trainable="head", optimizer=LBFGS(),
    search=SearchGrid(weight_decays=(1, 0.1, 0.01)),
)  # fmt: skip


def few(images: int = 120, tests: int = 60, classes: int = 5) -> Dataset:
    """Digits below `classes`."""
    data = cs.open_dataset("digits")

    def some(part: Any, count: int) -> Subset:
        return Subset(part, np.flatnonzero(part.labels < classes)[:count])

    names = data.classes[:classes]
    return replace(data, train=some(data.train, images), test=some(data.test, tests), classes=names)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that has seen the digits 5 to 9: what it sees in 0 to 4 is worth something."""
    data = cs.open_dataset("digits")

    def others(part: Any) -> ArrayImages:
        whole, indices = part.whole, part.indices[part.labels >= 5]
        return ArrayImages(whole.pixels[indices], whole.labels[indices] - 5, "others")

    known = replace(data, train=others(data.train), test=others(data.test), classes=data.classes[5:])
    run = tmp_path_factory.mktemp("before") / "run"
    recipe = Recipe(note="a test", epochs=3, batch=32, learning_rate=0.05, augmentation=Augmentation(crop="shift"))
    _, evaluation = cs.train(NETWORK, known, recipe, run, quiet=True)
    assert evaluation.top1 > 0.8
    return run / "weights.safetensors"


def tuned(weights: Path, run: Path, recipe: Recipe, data: Dataset | None = None, **settings: Any) -> cs.Evaluation:
    return cs.train(NETWORK, data or few(), recipe, run, quiet=True, weights=str(weights), **settings)[1]


def tensors(run_or_file: Path) -> dict[str, torch.Tensor]:
    return cs.load(run_or_file).state_dict()


def state_of(run: Path) -> str:
    record = Run(run).result()
    assert record is not None
    return record.state_sha256


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


def test_a_search_of_any_size() -> None:
    recipe = replace(TUNE, learning_rate=0.01, weight_decay=1e-4)
    assert recipe.choices() == [] and not recipe.search
    sized = recipe.searching(3, 2)
    assert sized.search.learning_rates == (0.00316, 0.01, 0.0316) and sized.search.weight_decays == (1e-4, 3.16e-4)
    assert [(c.learning_rate, c.weight_decay) for c in sized.choices()][:3] == [
        (0.00316, 1e-4), (0.00316, 3.16e-4), (0.01, 1e-4),
    ]  # fmt: skip
    assert recipe.searching(2, 1).choices()[0].weight_decay == 1e-4 and recipe.searching(1, 1) == recipe
    thinned = cs.recipe("kornblith").searching(3, 2).search
    assert thinned.learning_rates == (1e-4, 3.16e-3, 0.1) and thinned.weight_decays == (0, 1e-3)
    assert cs.recipe("kornblith").searching(1, 1).choices() == []
    # What is searched follows the batch as the learning rate does, where few images make it smaller too.
    assert replace(sized, batch=64).for_images(32).search.learning_rates == (0.00158, 0.005, 0.0158)
    assert sized.with_changes(batch=32, learning_rate=0.5).search == sized.search
    assert len(cs.recipe("linear-probe").searching(5, 3).choices()) == 3  # a probe has no learning rates
    with pytest.raises(ConfigError, match="weight decays to try 0"):
        recipe.searching(1, 0)


@pytest.mark.parametrize(
    "setting",
    ["trainable=all", "epochs=2", "ema_decay=0.9", "augmentation.flip=true", "patience=1",
     "search.learning_rates=[0.1]", "dropout=0.2"],
)  # fmt: skip
def test_what_does_not_go_with_a_probe_is_told(setting: str) -> None:
    with pytest.raises(ConfigError, match="does not go with optimizer.type lbfgs"):
        PROBE.with_settings([setting])


@pytest.mark.parametrize("kind", ["group", "synchronised", "without statistics"])
@torch.inference_mode()
def test_other_norms_are_not_dropped(kind: str) -> None:
    """Of a model that somebody else put together: they are left as they are."""
    model = place(build(NETWORK, seed=0)).eval()
    if kind == "synchronised":
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, ConvNormAct) and isinstance(module.norm, torch.nn.BatchNorm2d):
            channels = module.norm.num_features
            if kind == "group":
                module.norm = torch.nn.GroupNorm(1, channels)
            else:
                module.norm = torch.nn.BatchNorm2d(channels, track_running_stats=False)
    images = torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(folded(model)(images), model(images), rtol=1e-4, atol=1e-5)


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


# Fine-tuning.


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


def test_weights_serve_any_input_size(weights: Path, tmp_path: Path) -> None:
    network = NETWORK.at_resolution(17)
    run, _ = cs.train(network, few(), TUNE, tmp_path / "run", quiet=True, weights=str(weights))
    assert run.preprocessing().size == 17 and read_header(run.weights).network.resolution == 17


def test_a_recipe_that_needs_weights_says_so(weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, recipe in (("head", PROBE), ("frozen", replace(TUNE, epochs=1, head_epochs=0))):
        for start in (None, str(weights)):
            cs.train(NETWORK, few(20, 10, 2), recipe, tmp_path / f"{name}-{start is None}", weights=start)
            assert ("starts from random ones: --weights FILE" in capfd.readouterr().err) == (start is None)


# Early stopping.


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


# The search.


def searching(**changes: Any) -> Recipe:
    rates = SearchGrid(learning_rates=(1e-5, 0.02), weight_decays=(0.0, 1e-4), share=0.25)
    return replace(TUNE, **({"epochs": 2, "warmup_epochs": 0, "search": rates} | changes))


def test_the_search_chooses_on_training_images(weights: Path, tmp_path: Path) -> None:
    tuned(weights, tmp_path / "run", searching())
    run = Run(tmp_path / "run")
    rows = run.searched()
    assert [(row.learning_rate, row.weight_decay) for row in rows] == [(1e-5, 0), (1e-5, 1e-4), (0.02, 0), (0.02, 1e-4)]
    assert {row.n for row in rows} == {30} and all(row.seconds > 0 for row in rows)  # a quarter of 120
    chosen = run.recipe()
    best = max(row.accuracy or 0 for row in rows)
    first = next(row for row in rows if row.accuracy == best)
    assert (chosen.learning_rate, chosen.weight_decay) == (first.learning_rate, first.weight_decay) == (0.02, 0)
    assert not chosen.search
    assert not list((run.path / "search").glob("*/*.safetensors")) and run.weights.exists()
    trial = Run(run.path / "search" / "003")
    record = trial.data()
    assert record is not None and (record.train_images, record.test_images) == (90, 30)
    # What follows is the training that the chosen values alone would have given.
    tuned(weights, tmp_path / "plain", replace(searching(search=SearchGrid()), learning_rate=0.02, weight_decay=0.0))
    assert state_of(run.path) == state_of(tmp_path / "plain")


@pytest.mark.parametrize("steps", [3, 20, 45])
def test_an_interrupted_search_goes_on(
    steps: int, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its first training, in a later one, in the training after it: the same result."""
    tuned(weights, tmp_path / "whole", searching())
    take, taken = Stepper.take, [0]

    def stop(self: Stepper, batch: Any) -> Any:
        taken[0] += 1
        if taken[0] == steps:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stop)
    with pytest.raises(TrainingStopped, match=f"convscale resume {tmp_path / 'run'}"):
        tuned(weights, tmp_path / "run", searching())
    if steps < 45:
        with pytest.raises(ConfigError, match="its search goes on"):
            cs.resume(tmp_path / "run", data=few(), changes=["learning_rate=0.1"], quiet=True)
    cs.resume(tmp_path / "run", data=few(), quiet=True)
    rows = [Run(tmp_path / name).searched() for name in ("run", "whole")]
    assert [row.accuracy for row in rows[0]] == [row.accuracy for row in rows[1]]
    assert state_of(tmp_path / "run") == state_of(tmp_path / "whole")


def test_a_search_goes_on_from_the_same_weights_only(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, take = tmp_path / "mine.safetensors", Stepper.take
    mine.write_bytes(weights.read_bytes())

    def stop(self: Stepper, batch: Any) -> Any:
        if self.state.position.total_steps == 3:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stop)
    with pytest.raises(TrainingStopped):
        tuned(mine, tmp_path / "run", searching())
    monkeypatch.undo()
    mine.unlink()
    with pytest.raises(RunError, match="no such run folder or weights file.*put back those"):
        cs.resume(tmp_path / "run", data=few(), quiet=True)
    model, header = cs.load_weights(weights)
    with torch.no_grad():
        next(model.parameters()).mul_(1.1)
    cs.save_weights(mine, model, header)
    with pytest.raises(RunError, match="other weights than the run began with"):
        cs.resume(tmp_path / "run", data=few(), quiet=True)
    assert (tmp_path / "run" / "search" / "001").is_dir()
    mine.write_bytes(weights.read_bytes())
    cs.resume(tmp_path / "run", data=few(), quiet=True)


def test_what_was_done_is_kept_where_the_data_fails(weights: Path, tmp_path: Path) -> None:
    """Features that were computed are not thrown away with a message that says how to go on."""
    (tmp_path / "photos").mkdir()
    photos = digit_photos(tmp_path / "photos", 30)
    for broken in sorted((photos / "0").iterdir())[:8]:
        broken.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        cs.train(NETWORK, photos, PROBE, tmp_path / "run", quiet=True, weights=str(weights))
    assert list((tmp_path / "run" / "features").iterdir())
    with pytest.raises(DataError, match="a search holds out 25% of the 5 training images: class .* has a single image"):
        tuned(weights, tmp_path / "few", searching(), few(5, 5))
    assert not (tmp_path / "few").exists()


def test_a_choice_that_diverges_loses(weights: Path, tmp_path: Path) -> None:
    wild = SearchGrid(learning_rates=(900.0, 0.02), share=0.25)
    tuned(weights, tmp_path / "run", searching(search=wild, gradient_clip=0.0, norm_statistics="batch"))
    first, second = Run(tmp_path / "run").searched()
    assert first.accuracy is None and "not finite" not in second.failure and second.accuracy is not None
    assert "at learning rate" in first.failure and Run(tmp_path / "run").recipe().learning_rate == 0.02
    with pytest.raises(TrainingError, match="all 1 trainings of the search failed.*smaller learning rates"):
        tuned(weights, tmp_path / "no", searching(search=SearchGrid(learning_rates=(900.0,)), gradient_clip=0.0))


# The linear probe.


def test_folding_changes_nothing_but_the_last_bits() -> None:
    for name in ("small-mbconv", "small-resnet", "mobilenet-v3-small"):
        network = cs.network(name).at_resolution(33)
        torch.manual_seed(0)
        model = build(network, seed=1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.bias, -0.5, 0.5)
        model.eval()
        copy = folded(model)
        assert not any(module.norm for module in copy.modules() if isinstance(module, ConvNormAct))
        images = torch.randn(4, network.input_channels, 33, 33)
        with torch.inference_mode():
            for see in (Model.pooled, Model.classified, Model.__call__):
                wanted, got = see(model, images), see(copy, images)
                assert float((wanted - got).abs().max()) <= 1e-4 * float(wanted.abs().max())
            hidden = model.classified(images)
            assert torch.allclose(model.head.get_submodule("classifier")(hidden), model(images), atol=1e-5)


def test_features_do_not_depend_on_cores(weights: Path) -> None:
    data, model = few(), cs.load(weights)
    assert model.preprocessing is not None
    before, found = torch.get_num_threads(), []
    try:
        for cores in (1, 3):
            torch.set_num_threads(cores)
            seen = list(look(model, Model.pooled, data.train, model.preprocessing, batch=7))
            assert torch.get_num_threads() == cores
            found.append(torch.cat([part.features for part in seen]))
            labels = torch.cat([part.labels for part in seen])
            assert labels.tolist() == data.train.labels.tolist()
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found) and len(found[0]) == 120


def test_the_fit_is_logistic_regression() -> None:
    """scikit-learn's finds the same probabilities on scaled features."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    features = torch.randn(300, 8, generator=generator) * torch.arange(1, 9) + labels[:, None] * torch.randn(8)
    features[:, 7] = 4.0  # says nothing and must not divide by zero
    for decay in (1.0, 0.01):
        recipe = replace(PROBE, weight_decay=decay, search=SearchGrid())
        mine = fit_classifier(Seen(features, labels), 3, recipe)
        warm = fit_classifier(Seen(features, labels), 3, recipe, fit_classifier(Seen(features, labels), 3, PROBE))
        scaled = ((features - features.mean(0)) / features.std(0, correction=0).clamp(min=1e-9)).numpy()
        scaled[:, 7] = 0
        peer = LogisticRegression(C=1 / (decay * 300), tol=1e-8, max_iter=10_000).fit(scaled, labels.numpy())
        for one in (mine, warm):
            probabilities = (features @ one.weight.T + one.bias).softmax(1)
            assert np.abs(probabilities.numpy() - peer.predict_proba(scaled)).max() < 2e-3


def test_the_linear_probe(weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run, evaluation = cs.train(NETWORK, few(), PROBE, tmp_path / "run", weights=str(weights))
    told = capfd.readouterr().err
    assert "images/s  done" in told and " left" not in told
    before, after = tensors(weights), tensors(run.weights)
    for name, value in after.items():
        assert name.startswith("head.classifier.") or torch.equal(before[name], value)
    model, header = cs.load_weights(run.weights)
    again = measure(place(model), few().test, header.preprocessing, header.classes).evaluation
    assert again.top1 == evaluation.top1 > 0.8 and again.per_class == evaluation.per_class
    rows, chosen = run.searched(), run.recipe()
    assert [row.weight_decay for row in rows] == [1, 0.1, 0.01] and {row.n for row in rows} == {24}
    best = max(row.accuracy or 0 for row in rows)
    assert chosen.weight_decay == next(row.weight_decay for row in rows if row.accuracy == best) and not chosen.search
    assert not (run.path / "features").exists() and not run.checkpoints.exists()
    record = run.result()
    assert record is not None and record.epochs == 1 and record.images_per_second > 0
    assert (run.path / "pictures" / "confusion.png").exists() and len(run.metrics()) == 1


def test_an_interrupted_probe_goes_on(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that were computed are not computed again, a damaged one is; the result has the same bits."""
    monkeypatch.setattr("convscale.training.stored.PART_IMAGES", 50)
    tuned(weights, tmp_path / "whole", PROBE)
    looked: list[int] = []
    classified = Model.classified

    def stop(self: Model, images: torch.Tensor) -> torch.Tensor:
        looked.append(len(images))
        if sum(looked) > 110 and len(looked) < 1000:
            looked.extend([0] * 1000)
            os.kill(os.getpid(), signal.SIGTERM)
        return classified(self, images)

    monkeypatch.setattr(Model, "classified", stop)
    with pytest.raises(TrainingStopped, match="convscale resume"):
        tuned(weights, tmp_path / "run", PROBE)
    parts = sorted((tmp_path / "run" / "features").iterdir())
    assert [part.name for part in parts] == ["train-000000000.safetensors", "train-000000050.safetensors"]
    parts[1].write_bytes(parts[1].read_bytes()[:-9])
    looked.clear()
    monkeypatch.setattr(
        Model, "classified", lambda self, images: looked.append(len(images)) or classified(self, images)
    )
    cs.resume(tmp_path / "run", data=few(), quiet=True)
    assert sum(looked) == 70 + 60 and state_of(tmp_path / "run") == state_of(tmp_path / "whole")


def test_a_full_disk_keeps_the_features(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscale.training.stored.PART_IMAGES", 50)
    written: list[Path] = []

    def full(path: Path, write: Any) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, write)

    monkeypatch.setattr("convscale.training.stored.write_atomic", full)
    with pytest.raises(TrainingError, match="features cannot be written: No space left.*convscale resume"):
        tuned(weights, tmp_path / "run", PROBE)
    assert len(list((tmp_path / "run" / "features").iterdir())) == 2
    cs.resume(tmp_path / "run", data=few(), quiet=True)
    tuned(weights, tmp_path / "whole", PROBE)
    assert state_of(tmp_path / "run") == state_of(tmp_path / "whole")


def test_a_probe_passes_over_unreadable_images(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photos = digit_photos(tmp_path / "photos", 30)
    for broken in sorted((photos / "0").iterdir())[:2]:
        broken.write_bytes(b"no image")
    network, recipe = NETWORK, replace(PROBE, max_unreadable=0.05)
    run, evaluation = cs.train(network, photos, recipe, tmp_path / "run", quiet=True, weights=str(weights))
    record, events = run.result(), (run.path / "events.jsonl").read_text()
    assert record is not None and record.unreadable + len(evaluation.unreadable) == 2
    assert events.count("unreadable, skipped") == record.unreadable
    with pytest.raises(DataError, match="cannot be read"):
        strict = replace(PROBE, max_unreadable=0.0)
        cs.train(network, photos, strict, tmp_path / "strict", quiet=True, weights=str(weights))
    assert (tmp_path / "strict" / "features").exists()
    _, again = cs.resume(tmp_path / "strict", changes=["max_unreadable=0.05"], quiet=True)
    assert again == evaluation and not (tmp_path / "strict" / "features").exists()


# Through fit, and with real weights.


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


def test_fit_from_weights(weights: Path, tmp_path: Path) -> None:
    own = cs.cost(NETWORK).macs
    budget = cs.Budget(macs=0.7 * own)
    for recipe in (None, "linear-probe"):
        fitted = cs.fit(
            "digits", budget, weights=weights, recipe_name=recipe, epochs=None if recipe else 1,
            output=tmp_path / str(recipe), quiet=True,
        )  # fmt: skip
        assert fitted.choice.recipe_name == (recipe or "finetune")
        network = fitted.run.network()
        assert network == NETWORK.with_classes(10).at_resolution(network.resolution) and network.resolution < 12
        assert cs.cost(network).macs <= 0.7 * own and "the network of its weights" in "\n".join(fitted.summary())
    with pytest.raises(ConfigError, match="weights decide the network"):
        cs.fit("digits", budget, weights=weights, baseline="small-resnet", output=tmp_path / "no")


def test_an_estimate_counts_the_search(weights: Path) -> None:
    from convscale.training import estimate

    plain = estimate(NETWORK, few(), searching(search=SearchGrid()), weights=str(weights))
    four = estimate(NETWORK, few(), searching(), weights=str(weights))
    steps, evaluations = four.steps * four.step_seconds, 2 * four.evaluation_seconds
    assert four.steps == plain.steps
    assert four.seconds == pytest.approx(steps + evaluations + 4 * (0.75 * steps + evaluations))
    probe = estimate(NETWORK, few(), PROBE, weights=str(weights))
    assert probe.seconds > 0 and probe.steps == 7


def test_a_stream_cannot_be_searched(weights: Path, tmp_path: Path) -> None:
    class Flow:
        classes = ("a", "b")

        def __len__(self) -> int:
            return 8

        def length(self, rank: int = 0, world: int = 1) -> int:
            return 8

        def read(self, *args: Any, **kwargs: Any) -> Any:
            return iter(())

        def state_at(self, position: int) -> dict[str, Any]:
            return {}

    data = replace(few(classes=2), train=Flow())
    for recipe in (replace(TUNE, patience=1), searching()):
        with pytest.raises(DataError, match="which a stream does not let one draw"):
            tuned(weights, tmp_path / "run", recipe, data)


@pytest.fixture(scope="module")
def mobilenet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("real") / "mobilenet.safetensors"
    choices = Choices(padding="same", norm_eps=1e-3, mean=(0.5,), std=(0.5,))
    cs.convert(real_data / "weights" / "mobilenetv2_100_imagenet1k.safetensors", target, choices=choices)
    return target


def test_two_hundred_photographs_suffice(mobilenet: Path, real_data: Path, tmp_path: Path) -> None:
    """20 images a class and ImageNet features: Imagenette's ten classes (docs/transfer.md has all of it)."""
    data = cs.open_dataset(real_data / "imagenette144")
    generator = np.random.default_rng(0)
    drawn = np.concatenate(
        [generator.permutation(np.flatnonzero(data.train.labels == label))[:20] for label in range(10)]
    )
    held = generator.permutation(len(data.test))[:400]
    small = replace(data, train=Subset(data.train, np.sort(drawn)), test=Subset(data.test, np.sort(held)))
    network = read_header(mobilenet).network
    _, evaluation = cs.train(network, small, "linear-probe", tmp_path / "run", quiet=True, weights=str(mobilenet))
    assert evaluation.top1 >= 0.92
