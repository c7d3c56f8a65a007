"""What a file does not say is chosen or taken from what is published, and nothing is assumed in silence."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import convscale as cs
from convscale.cli import convert as cli_convert
from convscale.data.loader import Normalise
from convscale.data.transforms import evaluation_view_of
from convscale.dialects import DIALECTS, Choices, convert
from convscale.dialects.conversion import WRITTEN, imagenet_classes
from convscale.dialects.names import given
from convscale.dialects.published_weights import published
from convscale.headers import read_header
from convscale.nn import load_weights
from convscale.preprocessing import Preprocessing
from tests import peers
from tests.dialects.foreign_weights import CLOSE, difference, saved

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")


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
    doubt = next(note for note in done.notes if "are used differently" in note)
    assert "padding same, BN eps 0.001" in doubt and "--network NAME" in doubt
    exact = Choices(network="tf_efficientnet_b0.ap_in1k")
    done = convert(tmp_path / "net.safetensors", tmp_path / "ours.safetensors", choices=exact)
    assert not any(" used differently" in note for note in done.notes)
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


@pytest.mark.parametrize("name", ["tf_efficientnet_b3.in1k", "efficientnet_b0.ra_in1k", "resnet18.tv_in1k"])
@pytest.mark.parametrize("size", [(427, 320), (320, 481), (500, 375), (300, 300), (97, 640)])
def test_images_are_prepared_as_timm_prepares_them(name: str, size: tuple[int, int]) -> None:
    """To the last bit."""
    timm, named = peers.timm(), given(name)
    assert named is not None and named.exact
    row = named.row
    cfg = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
    theirs = timm.data.create_transform(**cfg, is_training=False)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image, file = Image.fromarray(noise), io.BytesIO()
    image.save(file, "PNG")
    pixels = torch.from_numpy(evaluation_view_of(file.getvalue(), "x", row.preprocessing))[None]
    ours = Normalise(row.preprocessing, torch.device("cpu"))(pixels)
    assert torch.allclose(ours[0], theirs(image), atol=1e-5)
