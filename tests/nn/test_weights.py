"""Published weights from a hub's cache; what a weights file says of itself; features."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import convscale as cs
from convscale.data import FileImages
from convscale.dialects import get_weights
from convscale.dialects.hub_weights import cache_folder
from convscale.errors import ConfigError, DataError, RunError, UnknownNameError
from convscale.headers import Provenance, WeightsHeader, read_header
from convscale.layers import LinearLayer
from convscale.networks import Activation, Conv, ConvPoolHidden, MBConv, Row, Squeeze, Stage, Stem
from convscale.preprocessing import Preprocessing, default_preprocessing
from convscale.schema import to_table
from convscale.training.setup import make_job
from tests import peers
from tests.cli.calling import run_json

pytest.importorskip("huggingface_hub")
NAME = "mobilenetv1_100.ra4_e3600_r224_in1k"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache with one repository in it, in the layout that huggingface_hub leaves; no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = peers.timm().create_model("mobilenetv1_100")
    content = safetensors.torch.save({name: value.clone() for name, value in model.state_dict().items()})
    repository = tmp_path / "hub" / f"models--timm--{NAME}"
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    commit = repository / "snapshots" / ("c" * 40)
    for folder in (blob.parent, commit, repository / "refs"):
        folder.mkdir(parents=True)
    blob.write_bytes(content)
    (repository / "refs" / "main").write_text("c" * 40)
    (commit / "model.safetensors").symlink_to(os.path.relpath(blob, commit))
    return tmp_path / "hub"


def test_weights_from_a_hub(hub: Path) -> None:
    path = get_weights("mobilenet-v1", hub_cache=hub)
    assert path == cache_folder() / f"{NAME}.safetensors" and path == get_weights(NAME, hub_cache=hub)
    model = cs.pretrained("mobilenetv1_100", hub_cache=hub)
    assert not model.training and model.preprocessing is not None and model.preprocessing.mean == (0.5, 0.5, 0.5)
    assert len(model.classes) == 1000 and model.network.norm_eps == 1e-5
    header = read_header(path)
    assert header.provenance is not None and header.provenance.licence == "apache-2.0"


def test_a_damaged_blob_is_noticed(hub: Path) -> None:
    blob = next((hub / f"models--timm--{NAME}" / "blobs").iterdir())
    content = bytearray(blob.read_bytes())
    content[-3] ^= 1
    blob.write_bytes(content)
    with pytest.raises(RunError, match=r"damaged: its sha256 is .*fetch it again"):
        get_weights("mobilenet-v1", hub_cache=hub)
    assert not (cache_folder() / f"{NAME}.safetensors").exists()


def test_offline_says_which_file_to_put_where(hub: Path) -> None:
    with pytest.raises(RunError) as caught:
        get_weights("resnet-18", hub_cache=hub)
    place = hub / "models--timm--resnet18.a1_in1k" / "snapshots" / "main" / "model.safetensors"
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in caught.value.hint
    assert str(place) in caught.value.hint and "convscale convert" in caught.value.hint
    theirs = peers.timm().create_model("resnet18")
    place.parent.mkdir(parents=True)
    safetensors.torch.save_file({name: value.clone() for name, value in theirs.state_dict().items()}, place)
    (place.parents[2] / "refs").mkdir()
    (place.parents[2] / "refs" / "main").write_text("main")
    assert read_header(get_weights("resnet-18", hub_cache=hub)).network.name == "resnet-18"


def test_names_that_nothing_is_published_under() -> None:
    with pytest.raises(UnknownNameError, match="unknown weights 'small-resnet'.*no weights are published for it"):
        get_weights("small-resnet")
    with pytest.raises(UnknownNameError, match="did you mean 'tf_efficientnet_b0.in1k'"):
        get_weights("tf_efficientnet_b0.in1")


def test_the_command_lines(hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run_json(capsys, "weights", "list", "efficientnet-b0")["weights"]
    assert {row["network"] for row in listed} == {"efficientnet-b0"} and len(listed) > 4
    assert list(listed[0]) == [
        "name", "network", "repository", "resolution", "crop", "interpolation", "mean", "std", "padding", "norm_eps",
        "classes", "licence",
    ]  # fmt: skip
    got = run_json(capsys, "weights", "get", "mobilenet-v1", "--hub-cache", hub, "-o", tmp_path / "net.safetensors")
    assert list(got) == ["file", "network", "notes"] and got["file"] == str(tmp_path / "net.safetensors")
    shown = run_json(capsys, "show", tmp_path / "net.safetensors")
    assert shown["weights"]["provenance"]["source"] == "model.safetensors"
    assert shown["weights"]["preprocessing"]["size"] == 224 and shown["weights"]["classes"][1] == "n01443537 goldfish"
    done = run_json(
        capsys, "convert", tmp_path / "net.safetensors", "-o", tmp_path / "back.safetensors", "--to", "timm"
    )
    assert list(done)[:7] == ["dialect", "network", "tensors", "unused", "missing", "notes", "max_relative_difference"]
    assert done["max_relative_difference"] is None and done["dialect"] == "timm"


# The file


def test_a_header_says_all(tmp_path: Path) -> None:
    network = cs.network("small-mbconv").with_classes(2)
    preprocessing = Preprocessing(32, mean=(0.1, 0.2, 0.3), crop=0.8, interpolation="bilinear", value_range=(-1, 1))
    origin = Provenance("a.pt", "0" * 64, "timm", "mit", ("a note",))
    header = WeightsHeader(network, preprocessing, ("cat", "dog"), origin)
    cs.save_weights(tmp_path / "net.safetensors", cs.build(network, seed=0), header)
    assert read_header(tmp_path / "net.safetensors") == header
    model = cs.load(tmp_path / "net.safetensors")
    assert (model.preprocessing, model.classes, model.training) == (preprocessing, ("cat", "dog"), False)


@pytest.mark.parametrize("activation", ["gelu", "none"])
def test_every_activation_travels_in_the_file(activation: Activation, tmp_path: Path) -> None:
    block = MBConv(3, 4, activation, Squeeze(0.25, activation=activation))
    network = replace(
        cs.network("small-mbconv"),
        stem=Stem(8, activation=activation),
        stages=(Stage(16, 2, (Row(block, 2), Row(Conv(1, activation), 1))),),
        head=ConvPoolHidden(32, 24, activation, fixed_hidden=True),
        num_classes=2,
    )
    model = cs.build(network, seed=0).eval()
    file = tmp_path / "net.safetensors"
    cs.save_weights(file, model, WeightsHeader(network, Preprocessing(32), ("cat", "dog")))
    assert file.stat().st_size <= cs.cost(network).file_bytes
    loaded = cs.load(file)
    assert to_table(loaded.network) == to_table(network)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model(images))


def test_the_value_range_counts() -> None:
    from convscale.data.loader import Normalise

    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 3)
    for values, expected in (
        ((0.0, 1.0), [-2, 2, -1.2]),
        ((-1.0, 1.0), [-6, 2, -4.4]),
        ((0.0, 255.0), [-2, 1018, 202]),
    ):
        preprocessing = Preprocessing(1, mean=(0.5,), std=(0.25,), value_range=values)
        found = Normalise(preprocessing, torch.device("cpu"))(pixels).flatten().tolist()
        assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ConfigError, match=r"value_range \[1, 0\] is not allowed"):
        Preprocessing(1, value_range=(1, 0))


# Features


def test_features_are_what_the_classifier_sees(tmp_path: Path) -> None:
    network = cs.network("small-mbconv").with_classes(3)
    model = cs.build(network, seed=0).eval()
    header = WeightsHeader(network, default_preprocessing(32, 3), ("a", "b", "c"))
    cs.save_weights(tmp_path / "net.safetensors", model, header)
    files = [tmp_path / f"{index}.png" for index in range(5)]
    for index, file in enumerate(files):
        Image.effect_noise((40, 36), 20 + index).convert("RGB").save(file)
    found = cs.features(tmp_path / "net.safetensors", files, batch=2)
    assert found.shape == (5, resolve_channels(network))
    loaded = cs.load(tmp_path / "net.safetensors")
    assert torch.allclose(found, cs.features(loaded, FileImages(files, np.zeros(5, np.int64))), atol=1e-6)
    classifier: Any = loaded.head.get_submodule("classifier")
    pixels = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(classifier(loaded.pooled(pixels)), loaded(pixels), atol=1e-6)
    with pytest.raises(ConfigError, match="no preprocessing"):
        cs.features(model, files)
    with pytest.raises(DataError, match="no such image file"):
        cs.features(loaded, "absent.png")


def resolve_channels(network: cs.ConvNet) -> int:
    """Of the classifier's input."""
    return next(layer.in_channels for name, layer in cs.resolve(network).layers() if isinstance(layer, LinearLayer))


def test_show_explains_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from convscale.cli.main import run

    network = cs.network("small-mbconv").with_classes(2)
    header = WeightsHeader(
        network, default_preprocessing(32, 3), ("cat", "dog"), Provenance("a.pt", "0" * 64, "timm", "mit", ("a note",))
    )
    cs.save_weights(tmp_path / "net.safetensors", cs.build(network, seed=0), header)
    assert run(["show", str(tmp_path / "net.safetensors")]) == 0
    said = capsys.readouterr().out
    for text in ("32 px, crop 1, bicubic", "cat, dog", "a.pt", "timm", "mit", "a note", "format version 2"):
        assert text in said
    assert "weights" not in json.loads(json.dumps(run_json(capsys, "show", "small-mbconv")))


@pytest.mark.long
def test_a_training_from_weights_prepares_images_as_they_were(tmp_path: Path) -> None:
    """And so does what goes on with it, where the weights are gone by then."""
    network = cs.network("small-mbconv").at_resolution(16).with_classes(10)
    network = replace(network, input_channels=1)
    preprocessing = Preprocessing(12, mean=(0.3,), std=(0.4,), crop=0.9, interpolation="bilinear")
    weights = tmp_path / "net.safetensors"
    header = WeightsHeader(network, preprocessing, tuple("0123456789"))
    cs.save_weights(weights, cs.build(network, seed=0), header)
    recipe = cs.recipe("digits").with_changes(epochs=1)
    run, _ = cs.train(network, "digits", recipe, tmp_path / "run", weights=str(weights), pictures=False, quiet=True)
    assert read_header(run.weights).preprocessing == run.preprocessing() == preprocessing.at(16)
    (run.path / "result.json").unlink()
    weights.unlink()
    (run.path / "weights.safetensors").unlink()
    assert make_job(
        run.network(), cs.open_dataset("digits"), recipe, run, run.settings(), preprocessing=run.preprocessing()
    ).preprocessing == preprocessing.at(16)
    (run.path / "preprocessing.toml").unlink()
    assert run.preprocessing() == default_preprocessing(16, 1)  # of a run from before there was the file
