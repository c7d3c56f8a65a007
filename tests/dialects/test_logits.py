"""Weights of other libraries give the logits that they give there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import convscale as cs
from convscale.data.loader import Normalise
from convscale.dialects import Choices, convert
from convscale.dialects.names import given
from convscale.dialects.peers import build_peer
from convscale.nn import load_weights
from convscale.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from tests import peers
from tests.dialects.foreign_weights import CLOSE, difference, saved

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

# All sizes share layers and rules: `make faults` covers the larger ones.
SIZES = ("b0", "b1", "b4") if os.environ.get("CONVSCALE_FAULTS") else ("b0",)
EFFICIENTNETS = [f"efficientnet-{size}" for size in SIZES]
TIMM = (
    "tf_efficientnet_b0", "efficientnet_b1", "tf_efficientnet_b4", "tf_efficientnet_lite0", "mobilenetv1_100",
    "mobilenetv2_100", "tf_mobilenetv3_small_100", "mobilenetv3_large_100", "mnasnet_100", "semnasnet_100", "resnet18",
    "resnext50_32x4d",
)  # fmt: skip
TORCHVISION = (
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b4", "mobilenet_v2", "mobilenet_v3_small", "mnasnet1_0",
    "resnet18", "resnet50",
)  # fmt: skip


@pytest.mark.parametrize("name", TIMM)
def test_timm(tmp_path: Path, name: str) -> None:
    theirs = peers.timm().create_model(name, num_classes=7)
    file = saved(theirs, tmp_path / f"{name}.safetensors")
    done = convert(file, tmp_path / "ours.safetensors", dialect="timm", choices=Choices(network=name))
    ours, header = load_weights(tmp_path / "ours.safetensors")
    named = given(name, "timm")
    assert named is not None and header.network.padding == named.row.padding
    assert header.preprocessing == named.row.preprocessing
    assert (
        not done.missing
        and not done.unused
        and done.tensors == len(safetensors.torch.load_file(file)) - counters(theirs)
    )
    for size in (theirs.default_cfg["input_size"][1], 97):
        assert difference(theirs, ours, size) < CLOSE


def counters(model: nn.Module) -> int:
    return sum(name.endswith("num_batches_tracked") for name in model.state_dict())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(tmp_path: Path, name: str) -> None:
    peers.timm()
    from torchvision import models

    theirs = models.get_model(name, num_classes=5)
    file = saved(theirs, tmp_path / f"{name}.pth")
    done = convert(file, tmp_path / "ours.safetensors")
    ours, header = load_weights(tmp_path / "ours.safetensors")
    assert done.dialect == "torchvision" and header.network.padding == "symmetric" and len(header.classes) == 5
    for size in (header.network.resolution, 97):
        assert difference(theirs, ours, size) < CLOSE


@pytest.mark.parametrize("dialect", ["lukemelas", "transformers"])
@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_libraries_that_pad_for_one_size(tmp_path: Path, dialect: str, name: str) -> None:
    """Both fix the padding when they are built: at another size they are built for that size."""
    pytest.importorskip("efficientnet_pytorch" if dialect == "lukemelas" else "transformers")
    network = cs.network(name).with_classes(6)
    theirs = build_peer(dialect, network)
    file = saved(theirs, tmp_path / "theirs.bin")
    done = convert(file, tmp_path / "ours.safetensors")
    ours, header = load_weights(tmp_path / "ours.safetensors")
    assert done.dialect == dialect and header.network == network
    for size in (network.resolution, 160):
        sized = build_peer(dialect, network.at_resolution(size))
        sized.load_state_dict(theirs.state_dict())
        assert difference(sized, ours, size) < CLOSE
    assert difference(theirs, ours, 161) > CLOSE / 10  # which is why; where padding agrees it is below 1e-6


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    pytest.importorskip("h5py")
    return pytest.importorskip("keras")


def keras_model(keras: Any, name: str, size: int, classes: int = 6) -> Any:
    """An application of Keras, norms and normalisation random."""
    model = getattr(keras.applications, name)(
        weights=None, classes=classes, classifier_activation=None, input_shape=(size, size, 3)
    )
    chance = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            n = layer.gamma.shape[0]
            layer.set_weights([chance.random(n) + 0.5, *chance.normal(0, 0.1, (2, n)), chance.random(n) + 0.5])
        elif type(layer).__name__ == "Normalization":
            layer.set_weights([np.array([0.4, 0.5, 0.6]), np.array([0.04, 0.05, 0.06]), np.array(0)])
    return model


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
@pytest.mark.parametrize("name", [f"EfficientNet{size.upper()}" for size in SIZES])
def test_keras(tmp_path: Path, keras: Any, noise: Path, name: str, suffix: str) -> None:
    """Normalisation is inside its model: pixels of 0 to 255 go in there. --verify has Keras read its own file.

    Two sizes on B0 and B1, which pad even and odd ones; B4 adds other widths and depths.
    """
    network = cs.network(f"efficientnet-{name[-2:].lower()}")
    if suffix != ".weights.h5" and name != "EfficientNetB0":
        pytest.skip("the formats are tried on B0")
    both = suffix == ".weights.h5" and name != "EfficientNetB4"
    for size in (network.resolution, 97) if both else (97,):
        theirs = keras_model(keras, name, size)
        file = tmp_path / f"{size}{suffix}"
        theirs.save_weights(file) if suffix == ".weights.h5" else theirs.save(file)
        done = convert(file, tmp_path / "ours.safetensors", verify=noise, choices=Choices(resolution=size))
        ours, header = load_weights(tmp_path / "ours.safetensors")
        assert done.max_relative_difference is not None and done.max_relative_difference < CLOSE
        assert (
            done.dialect == "keras" and not done.unused and header.preprocessing.mean == pytest.approx((0.4, 0.5, 0.6))
        )
        pixels = torch.randint(
            0, 256, (1, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        with torch.inference_mode():
            expected = theirs(pixels.permute(0, 2, 3, 1).float()).cpu()
            found = ours(Normalise(header.preprocessing, torch.device("cpu"))(pixels))
        assert float((expected - found).abs().max() / expected.abs().max()) < CLOSE
    assert any("normalisation was inside the model" in note for note in done.notes)


@pytest.mark.long
def test_keras_mends_the_normalisation_of_its_published_weights(
    tmp_path: Path, keras: Any, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their variance is a standard deviation: a Rescaling, built for them alone, puts it right."""
    file = tmp_path / "efficientnetb0.weights.h5"
    made = keras_model(keras, "EfficientNetB0", 224, classes=1000)
    next(layer for layer in made.layers if type(layer).__name__ == "Normalization").set_weights(
        [np.array(IMAGENET_MEAN), np.array(IMAGENET_STD), np.array(0)]
    )
    made.save_weights(file)
    application = sys.modules["keras.src.applications.efficientnet"]
    monkeypatch.setattr(application.file_utils, "get_file", lambda *_, **__: str(file))  # instead of a download
    theirs = keras.applications.EfficientNetB0(weights="imagenet", classifier_activation=None)
    done = convert(file, tmp_path / "ours.safetensors", verify=noise)
    assert done.max_relative_difference is not None and done.max_relative_difference < CLOSE
    assert any("the Rescaling that corrects" in note for note in done.notes)
    ours, header = load_weights(tmp_path / "ours.safetensors")
    pixels = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(pixels.permute(0, 2, 3, 1).float()).cpu()
        found = ours(Normalise(header.preprocessing, torch.device("cpu"))(pixels))
    assert float((expected - found).abs().max() / expected.abs().max()) < CLOSE
    other = convert(file, tmp_path / "ours.safetensors", verify=noise, choices=Choices(norm_eps=0.1))
    assert other.max_relative_difference is not None and other.max_relative_difference > CLOSE


@pytest.mark.long
@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_tensorflow(tmp_path: Path, noise: Path, name: str) -> None:
    """A checkpoint as the reference code saves it: 1,001 classes, moving averages of weights and statistics. --verify
    gives Keras's network the very same."""
    tensorflow = pytest.importorskip("tensorflow")
    from convscale.dialects.layout import dialect
    from convscale.layers import resolve

    network = cs.network(name).with_classes(1001)
    theirs = cs.build(network, seed=0)
    peers.randomise_norms(theirs)
    state = theirs.state_dict()
    arrays = {}
    for entry in dialect("tf").entries(resolve(network)):
        value = state[entry.ours].reshape(entry.shape)
        assert entry.axes is None or len(entry.axes) == value.ndim
        back = value if entry.axes is None else value.permute([entry.axes.index(axis) for axis in range(value.ndim)])
        key = f"{name}/{entry.theirs.replace('batch_normalization', 'tpu_batch_normalization')}"
        arrays[key] = np.zeros_like(back.numpy())  # the raw weights: not what is wanted
        arrays[f"{key}/ExponentialMovingAverage"] = back.contiguous().numpy()
    arrays["global_step"] = np.array(218_949, np.int64)
    tensorflow.raw_ops.SaveV2(  # what tf.train.Saver runs
        prefix=str(tmp_path / "model.ckpt-218949"), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )  # fmt: skip
    for size in (97, network.resolution) if name != "efficientnet-b4" else (97,):
        choices = Choices(resolution=size)
        done = convert(tmp_path / "model.ckpt-218949", tmp_path / "ours.safetensors", verify=noise, choices=choices)
        assert done.max_relative_difference is not None and done.max_relative_difference < CLOSE
    ours, header = load_weights(tmp_path / "ours.safetensors")
    assert done.dialect == "tf" and header.network == network.with_classes(1000).at_resolution(size)
    assert done.averages == "ExponentialMovingAverage" and any("background" in note for note in done.notes)
    images = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs.eval()(images)[:, 1:], rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_a_training_is_unwrapped(tmp_path: Path) -> None:
    """The averaged weights are those that libraries evaluate; "module." is what DataParallel puts before each name."""
    theirs = peers.timm().create_model("mobilenetv1_100", num_classes=3)
    averaged = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    raw = {name: value * 0 for name, value in averaged.items()}
    torch.save({"epoch": 3, "state_dict": raw, "state_dict_ema": averaged}, tmp_path / "model.pth.tar")
    done = convert(tmp_path / "model.pth.tar", tmp_path / "ours.safetensors")
    assert done.network == "mobilenet-v1" and "read from the checkpoint's 'state_dict_ema'" in done.notes
    ours, _ = load_weights(tmp_path / "ours.safetensors")
    assert torch.equal(ours.state_dict()["stem.conv.conv.weight"], theirs.state_dict()["conv_stem.weight"])
