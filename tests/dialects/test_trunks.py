"""The trunk of a file whose head is its own: taken alone, what is left out reported, and good for training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

import convscale as cs
from convscale.dialects import Choices, Conversion, convert
from convscale.errors import RunError
from convscale.headers import read_header
from tests import peers
from tests.cli.calling import run_json
from tests.dialects.foreign_weights import CLOSE, write
from tests.training.small_runs import few

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

HEAD = {"classifier.0.weight": (64, 1024), "classifier.0.bias": (64,), "classifier.3.weight": (5, 64)}


def tensors_of(name: str, library: str = "timm") -> dict[str, Tensor]:
    timm = peers.timm()
    if library == "torchvision":
        from torchvision import models

        model = models.get_model(name, num_classes=3)
    else:
        model = timm.create_model(name, num_classes=3)
    peers.randomise_norms(model)
    return {key: value.clone() for key, value in model.state_dict().items()}


def with_head(tensors: dict[str, Tensor], file: Path, **head: tuple[int, ...]) -> Path:
    """The file of a trunk with a head of its own."""
    trunk = {key: value for key, value in tensors.items() if not key.startswith(("classifier", "fc."))}
    safetensors.torch.save_file(trunk | {key: torch.randn(*shape) for key, shape in head.items()}, file)
    return file


def trunk_of(file: Path, **choices: Any) -> Conversion:
    return convert(file, file.with_name("ours.safetensors"), choices=Choices(trunk=True, **choices))


def test_an_own_head_is_left_out_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_head(tensors_of("mobilenetv1_100"), tmp_path / "own.safetensors", **HEAD)
    with pytest.raises(RunError, match="--trunk takes the trunk of mobilenet-v1 alone, without classifier.0.bias"):
        convert(file, tmp_path / "ours.safetensors")
    found = run_json(capsys, "convert", file, "-o", tmp_path / "ours.safetensors", "--trunk")
    assert found["unused"] == sorted(HEAD) and found["missing"] == ["classifier.bias", "classifier.weight"]
    assert found["taken_from"]["classes"] == "there is no classifier"
    assert read_header(tmp_path / "ours.safetensors").classes == ("untrained",)


def test_features_are_those_of_the_whole_network(tmp_path: Path) -> None:
    """The classifier that fits is left out too."""
    tensors = tensors_of("mobilenetv1_100")
    file = tmp_path / "whole.safetensors"
    safetensors.torch.save_file(tensors, file)
    assert trunk_of(file).unused == ("classifier.bias", "classifier.weight")
    theirs = peers.timm().create_model("mobilenetv1_100", num_classes=0).eval()
    theirs.load_state_dict(tensors, strict=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    ours = cs.load(tmp_path / "ours.safetensors")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        expected, found = theirs(images), ours.pooled(images)
    assert float((expected - found).abs().max() / expected.abs().max()) < CLOSE


@pytest.mark.parametrize(
    ("library", "name", "head", "network"),
    [
        ("timm", "resnet18", {"fc.0.weight": (9, 512), "head.norm.weight": (512,)}, "resnet-18"),
        ("torchvision", "mobilenet_v2", {"classifier.1.0.weight": (9, 1280), "aux.weight": (2, 2)}, "mobilenet-v2"),
        ("timm", "mobilenetv3_small_100", {"my_head.weight": (4, 1024)}, "mobilenet-v3-small"),
    ],
)
def test_trunks_of_other_networks(
    tmp_path: Path, library: str, name: str, head: dict[str, tuple[int, ...]], network: str
) -> None:
    done = trunk_of(with_head(tensors_of(name, library), tmp_path / "own.safetensors", **head))
    assert done.network == network and done.unused == tuple(sorted(head))


def test_a_larger_network_is_not_taken_for_a_smaller_ones_trunk(tmp_path: Path) -> None:
    """B0's tensors are among B1's."""
    file = with_head(tensors_of("efficientnet_b1"), tmp_path / "own.safetensors", **{"head.weight": (2, 2)})
    assert trunk_of(file).network == "efficientnet-b1" and trunk_of(file).unused == ("head.weight",)
    with pytest.raises(RunError, match="not those of efficientnet-b0: .*blocks.0.1.bn1.bias is unexpected"):
        trunk_of(file, network="efficientnet-b0")
    cut = {key: value for key, value in safetensors.torch.load_file(file).items() if key != "conv_head.weight"}
    safetensors.torch.save_file(cut, file)
    with pytest.raises(RunError, match="conv_head.weight is missing"):
        trunk_of(file, network="efficientnet-b1")


@pytest.mark.long
def test_a_trunk_of_keras_with_a_head_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Keras' own guide to fine-tuning builds it: batch norm and another dense layer on the trunk."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("h5py")
    keras = pytest.importorskip("keras")
    keras.utils.clear_session()
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    x = keras.layers.BatchNormalization()(keras.layers.GlobalAveragePooling2D(name="avg_pool")(base.output))
    model = keras.Model(base.input, keras.layers.Dense(5, name="pred")(x))
    for suffix in (".weights.h5", ".h5"):
        file = tmp_path / f"own{suffix}"
        model.save_weights(file) if suffix == ".weights.h5" else model.save(file)
        done = trunk_of(file)
        assert done.network == "efficientnet-b0" and len(done.unused) == 6
        assert any("dense" in key or "pred" in key for key in done.unused)


def test_training_begins_with_a_trunk(tmp_path: Path) -> None:
    write(cs.network("small-mbconv").with_classes(3), tmp_path / "net.safetensors")
    convert(tmp_path / "net.safetensors", tmp_path / "timm.safetensors", to="timm")
    tensors = safetensors.torch.load_file(tmp_path / "timm.safetensors")
    tensors["conv_stem.weight"] = tensors["conv_stem.weight"][:, :1].clone()  # digits are grey
    file = with_head(tensors, tmp_path / "own.safetensors", **HEAD)
    done = trunk_of(file, network="small-mbconv")
    assert done.unused == tuple(sorted(HEAD)) and len(done.missing) == 2
    weights = tmp_path / "ours.safetensors"
    images = few(30, 10, 2)
    head_alone = replace(cs.recipe("linear-probe"), optimizer=cs.SGD(), epochs=1, batch=10, search=cs.SearchGrid())
    run, evaluation = cs.train(
        weights, images, head_alone, tmp_path / "run", weights=str(weights), pictures=False, quiet=True
    )
    assert evaluation.n == 10 and run.network().num_classes == 2
    assert cs.features(weights, images.test).shape == cs.features(run.weights, images.test).shape
    assert torch.equal(cs.features(weights, images.test), cs.features(run.weights, images.test))
