"""The linear probe: folded networks, stored features, the fit, and real weights."""

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
from convscale.data.images import Subset
from convscale.dialects import Choices
from convscale.errors import ConfigError, DataError, TrainingError, TrainingStopped
from convscale.evaluation.feature_extraction import Extracted, extract
from convscale.evaluation.measurement import measure
from convscale.files import write_atomic
from convscale.headers import read_header
from convscale.nn import Lowered, Model, build, folded, to_default_device
from convscale.nn.layers import ConvNormAct
from convscale.recipes import SearchGrid
from convscale.training.probe import fit_classifier
from tests.images import digit_photos
from tests.training.small_runs import NETWORK, PROBE, few, state_of, tensors, tuned


@pytest.mark.parametrize(
    "setting",
    ["trainable=all", "epochs=2", "ema_decay=0.9", "augmentation.flip=true", "patience=1",
     "search.learning_rates=[0.1]", "dropout=0.2"],
)  # fmt: skip
def test_what_does_not_go_with_a_probe_is_told(setting: str) -> None:
    with pytest.raises(ConfigError, match="cannot be combined with optimizer.type lbfgs"):
        PROBE.with_settings([setting])


# Features.


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


@pytest.mark.parametrize("kind", ["group", "synchronised", "without statistics"])
@torch.inference_mode()
def test_other_norms_are_not_dropped(kind: str) -> None:
    """Of a model that somebody else put together: they are left as they are."""
    model = to_default_device(build(NETWORK, seed=0)).eval()
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


def test_features_do_not_depend_on_cores(weights: Path) -> None:
    data, model = few(), cs.load(weights)
    assert model.preprocessing is not None
    before, found = torch.get_num_threads(), []
    try:
        for cores in (1, 3):
            torch.set_num_threads(cores)
            seen = list(extract(model, Lowered.pooled, data.train, model.preprocessing, batch=7))
            assert torch.get_num_threads() == cores
            found.append(torch.cat([part.features for part in seen]))
            labels = torch.cat([part.labels for part in seen])
            assert labels.tolist() == data.train.labels.tolist()
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found) and len(found[0]) == 120


# The fit.


def test_the_fit_is_logistic_regression() -> None:
    """scikit-learn's finds the same probabilities on scaled features."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    features = torch.randn(300, 8, generator=generator) * torch.arange(1, 9) + labels[:, None] * torch.randn(8)
    features[:, 7] = 4.0  # says nothing and must not divide by zero
    for decay in (1.0, 0.01):
        recipe = replace(PROBE, weight_decay=decay, search=SearchGrid())
        mine = fit_classifier(Extracted(features, labels), 3, recipe)
        warm = fit_classifier(
            Extracted(features, labels), 3, recipe, fit_classifier(Extracted(features, labels), 3, PROBE)
        )
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
    again = measure(to_default_device(model), few().test, header.preprocessing, header.classes).evaluation
    assert again.top1 == evaluation.top1 > 0.8 and again.per_class == evaluation.per_class
    rows, chosen = run.searched(), run.recipe()
    assert [row.weight_decay for row in rows] == [1, 0.1, 0.01] and {row.n for row in rows} == {24}
    best = max(row.accuracy or 0 for row in rows)
    assert chosen.weight_decay == next(row.weight_decay for row in rows if row.accuracy == best) and not chosen.search
    assert not (run.path / "features").exists() and not run.checkpoints.exists()
    record = run.result()
    assert record is not None and record.epochs == 1 and record.images_per_second > 0
    assert (run.path / "pictures" / "confusion.png").exists() and len(run.metrics()) == 1


# Interruptions and faults.


def test_an_interrupted_probe_goes_on(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that were computed are not computed again, a damaged one is; the result has the same bits."""
    monkeypatch.setattr("convscale.training.stored.PART_IMAGES", 50)
    tuned(weights, tmp_path / "whole", PROBE)
    looked: list[int] = []
    classified = Lowered.classified

    def stop(self: Lowered, images: torch.Tensor) -> torch.Tensor:
        looked.append(len(images))
        if sum(looked) > 110 and len(looked) < 1000:
            looked.extend([0] * 1000)
            os.kill(os.getpid(), signal.SIGTERM)
        return classified(self, images)

    monkeypatch.setattr(Lowered, "classified", stop)
    with pytest.raises(TrainingStopped, match="convscale resume"):
        tuned(weights, tmp_path / "run", PROBE)
    parts = sorted((tmp_path / "run" / "features").iterdir())
    assert [part.name for part in parts] == ["train-000000000.safetensors", "train-000000050.safetensors"]
    parts[1].write_bytes(parts[1].read_bytes()[:-9])
    looked.clear()
    monkeypatch.setattr(
        Lowered, "classified", lambda self, images: looked.append(len(images)) or classified(self, images)
    )
    cs.resume(tmp_path / "run", data=few(), quiet=True)
    assert sum(looked) == 70 + 60 and state_of(tmp_path / "run") == state_of(tmp_path / "whole")


@pytest.mark.long
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
    run, evaluation = cs.train(
        network, photos, recipe, tmp_path / "run", pictures=False, quiet=True, weights=str(weights)
    )
    record, events = run.result(), (run.path / "events.jsonl").read_text()
    assert record is not None and record.unreadable + len(evaluation.unreadable) == 2
    assert events.count("unreadable, skipped") == record.unreadable
    with pytest.raises(DataError, match="cannot be read"):
        strict = replace(PROBE, max_unreadable=0.0)
        cs.train(network, photos, strict, tmp_path / "strict", pictures=False, quiet=True, weights=str(weights))
    assert (tmp_path / "strict" / "features").exists()
    _, again = cs.resume(tmp_path / "strict", changes=["max_unreadable=0.05"], quiet=True)
    assert again == evaluation and not (tmp_path / "strict" / "features").exists()


# Real weights.


@pytest.fixture(scope="module")
def mobilenet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("real") / "mobilenet.safetensors"
    choices = Choices(padding="same", norm_eps=1e-3, mean=(0.5,), std=(0.5,))
    cs.convert(real_data / "weights" / "mobilenetv2_100_imagenet1k.safetensors", target, choices=choices)
    return target


@pytest.mark.long
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
    _, evaluation = cs.train(
        network, small, "linear-probe", tmp_path / "run", pictures=False, quiet=True, weights=str(mobilenet)
    )
    assert evaluation.top1 >= 0.92
