"""Weights written for other libraries load there, and --verify compares with the library itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import convscale as cs
from convscale.dialects import Choices, convert
from convscale.errors import ConfigError, DataError
from convscale.headers import read_header
from convscale.nn import load_weights
from convscale.preprocessing import default_preprocessing
from tests import peers
from tests.dialects.foreign_weights import CLOSE, difference, saved, write

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

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
    with pytest.raises(ConfigError, match="'keras' cannot be written"):
        convert(file, tmp_path / "out.safetensors", to="keras")
    with pytest.raises(ConfigError, match="is already in Convscale's format.*--to timm or torchvision"):
        convert(file, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    done = convert(
        write(cs.network("efficientnet-b0").with_classes(2), file), tmp_path / "out.safetensors", to="torchvision"
    )
    assert any("torchvision pads symmetrically" in note for note in done.notes)


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
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in cs.load(file).state_dict().items())


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
    with pytest.raises(ConfigError, match="no classifier, so no logits"):
        convert(trunk, out, verify=noise)
    with pytest.raises(DataError, match="no image file"):
        convert(saved(model("mobilenetv1_100"), tmp_path / "a.pt"), out, verify=tmp_path / "absent")
    assert not out.exists()


def test_a_network_unlike_its_name_cannot_be_verified(tmp_path: Path, noise: Path) -> None:
    wide = replace(cs.scale(cs.network("mobilenet-v1"), cs.Scaling(width=1.1)), name="mobilenet-v1").with_classes(2)
    file, out = write(wide, tmp_path / "wide.safetensors"), tmp_path / "timm.safetensors"
    with pytest.raises(ConfigError, match="timm's own mobilenet-v1 does not take these weights: .*omit --verify"):
        convert(file, out, to="timm", verify=noise)
    assert not out.exists()
