"""Weights of other libraries give the logits that they give there, and nothing is assumed in silence."""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickle
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

import convscale as cs
from convscale.cli import convert as cli_convert
from convscale.data.loader import Normalise
from convscale.data.transforms import evaluation_view_of
from convscale.dialects import DIALECTS, Choices, convert
from convscale.dialects.conversion import WRITTEN, imagenet_classes
from convscale.dialects.peers import build_peer
from convscale.dialects.published_weights import find_published, published
from convscale.dialects.reading import read_foreign
from convscale.errors import ConfigError, DataError, RunError, UnknownNameError
from convscale.headers import WeightsHeader, read_header
from convscale.nn import load_weights
from convscale.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, default_preprocessing
from tests import peers

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

CLOSE = 1e-4
EFFICIENTNETS = ("efficientnet-b0", "efficientnet-b1", "efficientnet-b4")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Peers draw their weights from PyTorch's own generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three images."""
    folder = tmp_path_factory.mktemp("noise")
    for index in range(3):
        Image.effect_noise((90 + index, 80), 60).convert("RGB").save(folder / f"{index}.png")
    return folder


@torch.inference_mode()
def difference(theirs: nn.Module, ours: nn.Module, size: int) -> float:
    """Of logits, over the largest, on random pixels."""
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(size))
    expected = theirs(images)
    expected = getattr(expected, "logits", expected)
    return float((expected - ours(images)).abs().max() / expected.abs().max())


def saved(model: nn.Module, path: Path) -> Path:
    """The peer's state as it saves it, its norms random."""
    peers.randomise_norms(model)
    model.eval()
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    else:
        torch.save(model.state_dict(), path)
    return path


# Logits

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
    row = find_published(name)
    assert row is not None and header.network.padding == row.padding and header.preprocessing == row.preprocessing
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


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetB1", "EfficientNetB4"])
def test_keras(tmp_path: Path, keras: Any, noise: Path, name: str, suffix: str) -> None:
    """Normalisation is inside its model: pixels of 0 to 255 go in there. --verify has Keras read its own file."""
    network = cs.network(f"efficientnet-{name[-2:].lower()}")
    if suffix != ".weights.h5" and name != "EfficientNetB0":
        pytest.skip("the formats are tried on B0")
    for size in (network.resolution, 97):
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
    assert any("the Rescaling that mends" in note for note in done.notes)
    ours, header = load_weights(tmp_path / "ours.safetensors")
    pixels = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(pixels.permute(0, 2, 3, 1).float()).cpu()
        found = ours(Normalise(header.preprocessing, torch.device("cpu"))(pixels))
    assert float((expected - found).abs().max() / expected.abs().max()) < CLOSE
    other = convert(file, tmp_path / "ours.safetensors", verify=noise, choices=Choices(norm_eps=0.1))
    assert other.max_relative_difference is not None and other.max_relative_difference > CLOSE


@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_tensorflow(tmp_path: Path, noise: Path, name: str) -> None:
    """A checkpoint as the reference code saves it: 1,001 classes, moving averages of weights and statistics. --verify
    gives Keras's network the very same."""
    pytest.importorskip("tensorflow")
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
    np.savez(tmp_path / "arrays.npz", **arrays)
    subprocess.run(
        [sys.executable, "-c", SAVER, str(tmp_path / "arrays.npz"), str(tmp_path / "model.ckpt-218949")],
        check=True, capture_output=True, timeout=250,
    )  # fmt: skip
    for size in (97, network.resolution):
        choices = Choices(resolution=size)
        done = convert(tmp_path / "model.ckpt-218949", tmp_path / "ours.safetensors", verify=noise, choices=choices)
        assert done.max_relative_difference is not None and done.max_relative_difference < CLOSE
    ours, header = load_weights(tmp_path / "ours.safetensors")
    assert done.dialect == "tf" and header.network == network.with_classes(1000)
    assert any("moving averages" in note for note in done.notes) and any("background" in note for note in done.notes)
    images = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs.eval()(images)[:, 1:], rtol=1e-5, atol=1e-6)


SAVER = """
import sys
import numpy as np
import tensorflow as tf
arrays = np.load(sys.argv[1])
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    made = [tf.compat.v1.get_variable(name, initializer=arrays[name]) for name in arrays.files]
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver(made).save(session, sys.argv[2])
"""


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


# Out again


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_b0", "efficientnet_b1", "tf_efficientnet_b4", "mobilenetv3_small_100"]
)
def test_timm_loads_what_is_written_for_it(tmp_path: Path, name: str) -> None:
    theirs = peers.timm().create_model(name, num_classes=4)
    convert(saved(theirs, tmp_path / "a.pt"), tmp_path / "ours.safetensors", choices=Choices(network=name))
    done = convert(tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors", to="timm")
    loaded = peers.timm().create_model(name, num_classes=4, checkpoint_path=str(tmp_path / "theirs.safetensors")).eval()
    assert difference(loaded, theirs, 97) == 0
    assert done.dialect == "timm" and any("preprocessing" in note and "class names" in note for note in done.notes)


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b1", "efficientnet_b4", "resnet18"])
def test_torchvision_loads_what_is_written_for_it(tmp_path: Path, name: str) -> None:
    peers.timm()
    from torchvision import models

    theirs = models.get_model(name, num_classes=4)
    convert(saved(theirs, tmp_path / "a.pt"), tmp_path / "ours.safetensors")
    convert(tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors", to="torchvision")
    loaded = models.get_model(name, num_classes=4)
    missing, unexpected = loaded.load_state_dict(
        safetensors.torch.load_file(tmp_path / "theirs.safetensors"), strict=False
    )
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    assert difference(loaded.eval(), theirs, 97) == 0


def test_what_a_dialect_cannot_hold(tmp_path: Path) -> None:
    network = replace(cs.network("efficientnet-lite0"), num_classes=2)
    file = tmp_path / "lite.safetensors"
    write(network, file)
    with pytest.raises(ConfigError, match="torchvision has no names for efficientnet-lite0"):
        convert(file, tmp_path / "out.safetensors", to="torchvision")
    with pytest.raises(ConfigError, match="'keras' is not written"):
        convert(file, tmp_path / "out.safetensors", to="keras")
    with pytest.raises(ConfigError, match="is Convscale's already.*--to timm or torchvision"):
        convert(file, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    done = convert(
        write(cs.network("efficientnet-b0").with_classes(2), file), tmp_path / "out.safetensors", to="torchvision"
    )
    assert any("torchvision pads symmetrically" in note for note in done.notes)


def write(network: cs.ConvNet, file: Path) -> Path:
    """A Convscale file of random weights."""
    header = WeightsHeader(
        network, default_preprocessing(network.resolution, 3), tuple(map(str, range(network.num_classes)))
    )
    cs.save_weights(file, cs.build(network, seed=0), header)
    return file


# Verified


def test_verify_compares_with_the_library_itself(tmp_path: Path, noise: Path) -> None:
    theirs = peers.timm().create_model("tf_efficientnet_b0", num_classes=4)
    file, out = saved(theirs, tmp_path / "tf_efficientnet_b0.pt"), tmp_path / "ours.safetensors"
    done = convert(file, out, verify=noise, choices=Choices(resolution=64))
    assert done.max_relative_difference is not None and 0 <= done.max_relative_difference < CLOSE
    back = convert(out, tmp_path / "back.safetensors", to="torchvision", verify=noise)
    assert back.max_relative_difference is not None and back.max_relative_difference > CLOSE  # it pads otherwise


def test_verify_leaves_the_background_out(tmp_path: Path, noise: Path) -> None:
    theirs = peers.timm().create_model("mobilenetv1_100", num_classes=1001)
    done = convert(saved(theirs, tmp_path / "a.pt"), tmp_path / "ours.safetensors", verify=noise)
    assert done.max_relative_difference is not None and done.max_relative_difference < CLOSE
    assert len(read_header(tmp_path / "ours.safetensors").classes) == 1000


def test_what_cannot_be_verified_writes_nothing(tmp_path: Path, noise: Path) -> None:
    out, model = tmp_path / "ours.safetensors", peers.timm().create_model
    trunk = saved(model("tf_efficientnet_lite0", num_classes=0), tmp_path / "trunk.pt")
    with pytest.raises(ConfigError, match="no classifier whose logits"):
        convert(trunk, out, verify=noise)
    with pytest.raises(DataError, match="no image file"):
        convert(saved(model("mobilenetv1_100"), tmp_path / "a.pt"), out, verify=tmp_path / "absent")
    assert not out.exists()


def test_a_network_unlike_its_name_cannot_be_verified(tmp_path: Path, noise: Path) -> None:
    wide = replace(cs.scale(cs.network("mobilenet-v1"), cs.Scaling(width=1.1)), name="mobilenet-v1").with_classes(2)
    file, out = write(wide, tmp_path / "wide.safetensors"), tmp_path / "timm.safetensors"
    with pytest.raises(ConfigError, match="timm's own mobilenet-v1 does not take these weights: .*leave --verify out"):
        convert(file, out, to="timm", verify=noise)
    assert not out.exists()


# What the file does not say


def test_choices_count_more_than_what_is_published(tmp_path: Path) -> None:
    theirs = peers.timm().create_model("mobilenetv2_100", num_classes=3, pad_type="same")
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.02
    file = saved(theirs, tmp_path / "net.safetensors")
    choices = Choices(
        padding="same",
        norm_eps=0.02,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        crop=0.9,
        resolution=192,
        classes=("a", "b", "c"),
    )
    convert(file, tmp_path / "ours.safetensors", choices=choices)
    ours, header = load_weights(tmp_path / "ours.safetensors")
    assert difference(theirs, ours, 96) < CLOSE and header.classes == ("a", "b", "c")
    assert header.preprocessing == Preprocessing(192, mean=(0.5,) * 3, std=(0.25,) * 3, crop=0.9)
    convert(file, tmp_path / "plain.safetensors")
    plain, _ = load_weights(tmp_path / "plain.safetensors")
    assert difference(theirs, plain, 96) > CLOSE  # the same tensors, wrongly padded: what the notes are for


def test_ones_own_table_counts_more_than_what_is_published(tmp_path: Path) -> None:
    """Whatever the file of the table is called."""
    network = replace(cs.network("efficientnet-b0"), padding="symmetric", norm_eps=0.01, num_classes=2)
    cs.write_network(network, tmp_path / "tf_efficientnet_b0.toml")
    theirs = peers.timm().create_model("tf_efficientnet_b0", num_classes=2)
    choices = Choices(network=str(tmp_path / "tf_efficientnet_b0.toml"))
    convert(saved(theirs, tmp_path / "tf_efficientnet_b0.pt"), tmp_path / "ours.safetensors", choices=choices)
    assert read_header(tmp_path / "ours.safetensors").network == network


def test_weights_judged_on_squashed_images_say_so(tmp_path: Path) -> None:
    theirs = peers.timm().create_model("efficientnet_b5", num_classes=2)
    name = "efficientnet_b5.sw_in12k_ft_in1k"
    done = convert(saved(theirs, tmp_path / f"{name}.pt"), tmp_path / "ours.safetensors")
    assert any("squashed to a square" in note for note in done.notes)


def test_one_mean_is_of_every_channel(tmp_path: Path) -> None:
    theirs = peers.timm().create_model("mobilenetv1_100", num_classes=2, in_chans=1)
    choices = Choices(mean=(0.5,), std=(0.25,))
    convert(saved(theirs, tmp_path / "grey.pt"), tmp_path / "ours.safetensors", choices=choices)
    found = read_header(tmp_path / "ours.safetensors").preprocessing
    assert (found.mean, found.std) == ((0.5,), (0.25,))


def test_the_command_knows_every_dialect() -> None:
    assert (cli_convert.FROM, cli_convert.TO) == (DIALECTS, WRITTEN)


def test_equal_tensors_of_other_meaning_are_named(tmp_path: Path) -> None:
    theirs = peers.timm().create_model("efficientnet_b0")
    done = convert(saved(theirs, tmp_path / "net.safetensors"), tmp_path / "ours.safetensors")
    doubt = next(note for note in done.notes if "are used otherwise" in note)
    assert "padding same, BN eps 0.001" in doubt and "--network NAME" in doubt
    exact = Choices(network="tf_efficientnet_b0.ap_in1k")
    done = convert(tmp_path / "net.safetensors", tmp_path / "ours.safetensors", choices=exact)
    assert not any("are used otherwise" in note for note in done.notes)
    header = read_header(tmp_path / "ours.safetensors")
    assert header.preprocessing.mean == (0.5, 0.5, 0.5) and header.network.padding == "same"
    assert header.classes == imagenet_classes() and header.classes[0] == "n01440764 tench"


def test_provenance_travels(tmp_path: Path) -> None:
    theirs = peers.timm().create_model("mobilenetv1_100")
    file = saved(theirs, tmp_path / "mobilenetv1_100.ra4_e3600_r224_in1k.safetensors")
    convert(file, tmp_path / "ours.safetensors")
    origin = read_header(tmp_path / "ours.safetensors").provenance
    assert origin is not None and origin.source == file.name and origin.dialect == "timm"
    assert origin.sha256 == hashlib.sha256(file.read_bytes()).hexdigest() and origin.licence == "apache-2.0"
    assert any("taken: padding symmetric" in note for note in origin.notes)


def test_a_trunk_without_a_classifier(tmp_path: Path) -> None:
    theirs = peers.timm().create_model("tf_efficientnet_lite0", num_classes=0)
    done = convert(saved(theirs, tmp_path / "trunk.safetensors"), tmp_path / "ours.safetensors")
    assert done.missing == ("classifier.bias", "classifier.weight") and done.network == "efficientnet-lite0"
    assert read_header(tmp_path / "ours.safetensors").classes == ("untrained",)


def test_the_published_table_is_sound() -> None:
    """Every row's network is in the catalog, and timm's own tables say the same of each."""
    timm = peers.timm()
    assert len({(row.dialect, row.name) for row in published()}) == len(published()) > 150
    for row in published():
        cs.network(row.network)
        if row.dialect == "timm":
            theirs = timm.models.get_pretrained_cfg(row.name)
            assert theirs.input_size[1] == row.preprocessing.size, row.name
            assert math.floor(theirs.input_size[1] / theirs.crop_pct) == row.preprocessing.resize, row.name
            assert (tuple(theirs.mean), tuple(theirs.std)) == (row.preprocessing.mean, row.preprocessing.std), row.name
            assert (theirs.num_classes, theirs.hf_hub_id) == (row.classes, row.repository), row.name
    assert find_published("tf_efficientnet_b0_ns-c0e6a31c.pth") is find_published("tf_efficientnet_b0")
    assert find_published("efficientnet_b01") is None


@pytest.mark.parametrize("name", ["tf_efficientnet_b3.in1k", "efficientnet_b0.ra_in1k", "resnet18.tv_in1k"])
@pytest.mark.parametrize("size", [(427, 320), (320, 481), (500, 375), (300, 300), (97, 640)])
def test_images_are_prepared_as_timm_prepares_them(name: str, size: tuple[int, int]) -> None:
    """To the last bit."""
    timm, row = peers.timm(), find_published(name)
    assert row is not None
    cfg = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
    theirs = timm.data.create_transform(**cfg, is_training=False)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image, file = Image.fromarray(noise), io.BytesIO()
    image.save(file, "PNG")
    pixels = torch.from_numpy(evaluation_view_of(file.getvalue(), "x", row.preprocessing))[None]
    ours = Normalise(row.preprocessing, torch.device("cpu"))(pixels)
    assert torch.allclose(ours[0], theirs(image), atol=1e-5)


# Bad input


class Trap:
    """Unpickled by a careless reader, it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pth.tar", ".ckpt"])
@pytest.mark.parametrize("how", ["torch", "pickle", "nested", "old"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, suffix: str, how: str) -> None:
    """FAULTS 22."""
    trap, file = tmp_path / "trap", tmp_path / f"evil{suffix}"
    evil: Any = {"conv_stem.weight": torch.zeros(1), "evil": Trap(trap)}
    if how == "pickle":
        file.write_bytes(pickle.dumps(evil))
    else:
        evil = {"state_dict": evil} if how == "nested" else evil
        torch.save(evil, file, _use_new_zipfile_serialization=how != "old")
    with pytest.raises(RunError, match="refused|no PyTorch file"):
        convert(file, tmp_path / "out.safetensors")
    assert not trap.exists() and not (tmp_path / "out.safetensors").exists()


def good_file(path: Path) -> dict[str, Tensor]:
    tensors = {
        name: value.clone()
        for name, value in peers.timm().create_model("mobilenetv1_100", num_classes=3).state_dict().items()
    }
    safetensors.torch.save_file(tensors, path)
    return tensors


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    file, out = tmp_path / "net.safetensors", tmp_path / "out.safetensors"
    tensors = good_file(file)

    def refused(changed: dict[str, Tensor], match: str, **choices: Any) -> None:
        safetensors.torch.save_file(changed, file)
        with pytest.raises((RunError, ConfigError), match=match):
            convert(file, out, choices=Choices(**choices))
        assert not out.exists()

    name = "blocks.1.0.conv_pw.weight"
    refused(
        tensors | {name: tensors[name][:-1].clone()}, r"nearest: 1 do not fit; blocks.1.0.conv_pw.weight is \(127, 64"
    )
    refused({key: value for key, value in tensors.items() if key != name}, f"{name} is missing")
    refused(tensors | {"blocks.9.0.conv_pw.weight": torch.zeros(1)}, "blocks.9.0.conv_pw.weight has no place")
    refused(tensors | {name: tensors[name] * float("nan")}, f"{name} holds NaN or infinite")
    refused({"a": torch.zeros(1)}, "no dialect that is known; the first is 'a'.*--from one of timm")
    refused({"a": torch.zeros(1, dtype=torch.int64)}, "0 tensors of floating-point numbers")
    refused(tensors, "2 class names for 3 classes", classes=("a", "b"))
    refused(tensors, "not those of mobilenet-v2: ", network="mobilenet-v2")
    with pytest.raises(UnknownNameError, match="unknown dialect 'tim'"):
        convert(file, out, dialect="tim")
    with pytest.raises(RunError, match="no such file"):
        convert(tmp_path / "absent.pt", out)
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(RunError, match=r"\.onnx is not a format of weights that can be read.*\.safetensors"):
        convert(tmp_path / "net.onnx", out)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".h5", ".keras"])
def test_truncated_and_tampered_files(tmp_path: Path, suffix: str) -> None:
    """FAULTS 23: our own error, whatever the bytes."""
    if suffix in (".h5", ".keras"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "whole", "w") as made:
            made["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 32), np.float32)
        content = (tmp_path / "whole").read_bytes()
        if suffix == ".keras":
            with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
                archive.writestr("model.weights.h5", content)
            content = (tmp_path / "zip").read_bytes()
    elif suffix == ".pth":
        torch.save({"conv_stem.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "whole")
        content = (tmp_path / "whole").read_bytes()
    else:
        content = safetensors.torch.save({"conv_stem.weight": torch.zeros(4, 3, 3, 3)})
    file, chance = tmp_path / f"net{suffix}", np.random.default_rng(0)
    for trial in range(200 if os.environ.get("CONVSCALE_FAULTS") else 60):
        changed = bytearray(content)
        if trial % 2:
            changed = changed[: chance.integers(len(content))]
        else:
            for place in chance.integers(len(content), size=8):
                changed[place] = chance.integers(256)
        file.write_bytes(changed)
        with suppress(RunError):
            read_foreign(file)


def test_a_zip_that_grows_is_refused(tmp_path: Path) -> None:
    """A few kilobytes that unpack to gigabytes, as .keras and as PyTorch's file."""
    file = tmp_path / "bomb.keras"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(64 * 2**20))
    pytest.importorskip("h5py")
    with pytest.raises(RunError, match="would unpack to 67,108,864: refused"):
        read_foreign(file)


def test_a_network_of_ones_own_goes_out_and_comes_back(tmp_path: Path) -> None:
    """Padding, BN eps and size are those of the network's own table where nothing is published of it."""
    network = replace(
        cs.network("small-mbconv").at_resolution(40), padding="symmetric", norm_eps=0.01, num_classes=3, name="mine"
    )
    cs.write_network(network, tmp_path / "mine.toml")
    file = write(network, tmp_path / "ours.safetensors")
    convert(file, tmp_path / "timm.safetensors", to="timm")
    done = convert(
        tmp_path / "timm.safetensors",
        tmp_path / "back.safetensors",
        choices=Choices(network=str(tmp_path / "mine.toml")),
    )
    model, header = load_weights(tmp_path / "back.safetensors")
    assert header.network == network and header.preprocessing == default_preprocessing(40, 3)
    assert any("mine's own table" in note for note in done.notes)
    assert difference(cs.load(file), model, 40) == 0
