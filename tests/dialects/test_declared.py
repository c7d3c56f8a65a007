"""What a file or its folder says of its weights counts more than tables, less than options, and is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from convscale.data.loader import Normalise
from convscale.data.transforms import evaluation_view_of
from convscale.dialects import Choices, Conversion, convert
from convscale.errors import ConfigError, RunError, UnknownNameError
from convscale.headers import WeightsHeader, read_header
from convscale.preprocessing import Preprocessing
from tests import peers
from tests.cli.calling import run_json
from tests.dialects.foreign_weights import saved

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

CLASSES = ["ant", "bee", "crab"]
TIMM_CONFIG = {
    "architecture": "efficientnet_b0",
    "num_classes": 3,
    "pretrained_cfg": {
        "tag": "mine", "input_size": [3, 96, 96], "interpolation": "bilinear", "crop_pct": 0.9, "crop_mode": "center",
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "num_classes": 3, "label_names": CLASSES,
    },
}  # fmt: skip
LOOK = Preprocessing(
    96, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), crop=0.9, interpolation="bilinear", resize_rounding="down"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """timm's efficientnet_b0 with three classes."""
    model = peers.timm().create_model("efficientnet_b0", num_classes=3)
    return saved(model, tmp_path_factory.mktemp("weights") / "model.safetensors")


def converted(source: Path, tmp_path: Path, **choices: Any) -> tuple[Conversion, WeightsHeader]:
    done = convert(source, tmp_path / "ours.safetensors", choices=Choices(**choices))
    return done, read_header(tmp_path / "ours.safetensors")


def folder_of(weights: Path, folder: Path, **files: Any) -> Path:
    """A folder with the weights and JSON files beside them."""
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").symlink_to(weights)
    for name, table in files.items():
        (folder / f"{name}.json").write_text(json.dumps(table))
    return folder


# timm


@pytest.mark.parametrize("old", [False, True])
def test_a_folder_of_timms(weights: Path, tmp_path: Path, old: bool) -> None:
    """Before timm 0.9 all lay beside `architecture`. Padding and BN eps are the architecture's."""
    cfg = TIMM_CONFIG["pretrained_cfg"]
    assert isinstance(cfg, dict)
    config = {"architecture": "tf_efficientnet_b0", **cfg} if old else TIMM_CONFIG
    folder = folder_of(weights, tmp_path / "any", config=config)
    done, header = converted(folder, tmp_path)
    assert header.preprocessing == LOOK and header.classes == tuple(CLASSES)
    assert header.network.padding == ("same" if old else "symmetric") and header.network.resolution == 96
    sources = done.taken_from
    assert {sources[key] for key in ("size", "crop", "interpolation", "mean", "std", "classes")} == {"config.json"}
    assert sources["padding"] == sources["bn_eps"] and "efficientnet_b0." in sources["padding"]
    assert any(note.startswith("from config.json: size, crop") for note in done.notes)
    assert converted(folder / "model.safetensors", tmp_path)[1] == header  # the file itself has the same folder


def test_a_folder_as_timm_saves_it(tmp_path: Path) -> None:
    timm = peers.timm()
    from timm.models._hub import save_for_hf

    theirs = timm.create_model("resnet18.a3_in1k", num_classes=3)
    save_for_hf(theirs, tmp_path / "hf", model_config={"label_names": CLASSES})
    done, header = converted(tmp_path / "hf", tmp_path)
    assert done.dialect == "timm" and header.classes == tuple(CLASSES)
    assert (header.preprocessing.size, header.preprocessing.crop) == (160, 0.95)
    cfg = timm.data.resolve_data_config(pretrained_cfg=theirs.pretrained_cfg)
    theirs_transform = timm.data.create_transform(**cfg, is_training=False)
    image = Image.effect_noise((230, 190), 60).convert("RGB")
    image.save(tmp_path / "x.png")
    pixels = torch.from_numpy(evaluation_view_of((tmp_path / "x.png").read_bytes(), "x", header.preprocessing))[None]
    ours = Normalise(header.preprocessing, torch.device("cpu"))(pixels)
    assert torch.allclose(ours[0], theirs_transform(image), atol=1e-5)


def test_arguments_that_timms_model_was_built_with(weights: Path, tmp_path: Path) -> None:
    config = TIMM_CONFIG | {"model_args": {"pad_type": "same", "bn_eps": 0.01}}
    done, header = converted(folder_of(weights, tmp_path / "any", config=config), tmp_path)
    assert (header.network.padding, header.network.norm_eps) == ("same", 0.01)
    assert set(done.taken_from.values()) == {"config.json"}


def test_options_count_more_and_say_so(weights: Path, tmp_path: Path) -> None:
    folder = folder_of(weights, tmp_path / "any", config=TIMM_CONFIG)
    done, header = converted(folder, tmp_path, mean=(0.1,), resolution=64, classes=("x", "y", "z"), padding="same")
    assert header.preprocessing.mean == (0.1,) * 3 and header.preprocessing.size == 64
    assert header.preprocessing.std == LOOK.std and header.classes == ("x", "y", "z")
    assert {key: done.taken_from[key] for key in ("mean", "size", "padding", "classes", "std")} == {
        "mean": "--mean", "size": "--resolution", "padding": "--padding", "classes": "--classes", "std": "config.json",
    }  # fmt: skip
    assert "mean 0.1/0.1/0.1 is taken from --mean, although config.json says 0.5/0.4/0.3" in done.notes
    assert "size 64 is taken from --resolution, although config.json says 96" in done.notes


def test_a_published_name_fills_what_the_folder_leaves_open(weights: Path, tmp_path: Path) -> None:
    """And where they contradict each other, the folder counts, and the note says so."""
    folder = folder_of(weights, tmp_path / "any", config=TIMM_CONFIG)
    done, header = converted(folder, tmp_path, network="tf_efficientnet_b0.ap_in1k")
    assert header.preprocessing == LOOK and header.network.padding == "same"
    assert any("mean 0.5/0.4/0.3 is taken from config.json, although tf_efficientnet_b0.ap" in n for n in done.notes)


def test_a_configuration_of_another_network_is_passed_over(weights: Path, tmp_path: Path) -> None:
    for config, told in (
        (TIMM_CONFIG | {"architecture": "resnet18"}, "config.json names resnet18.mine, but the tensors are eff"),
        ({"model_type": "vit"}, "config.json describes a vit model of transformers: not used"),
        ([1, 2], ""), ({}, ""),
    ):  # fmt: skip
        folder = tmp_path / "any"
        (folder_of(weights, folder) / "config.json").write_text(json.dumps(config))
        done, header = converted(folder, tmp_path)
        assert header.preprocessing.size == 224 and (not told or any(note.startswith(told) for note in done.notes))
        (folder / "model.safetensors").unlink()


def test_names_of_classes_that_do_not_fit(weights: Path, tmp_path: Path) -> None:
    config = TIMM_CONFIG | {"label_names": ["a", "b"]}
    done, header = converted(folder_of(weights, tmp_path / "two", config=config), tmp_path)
    assert header.classes == ("0", "1", "2") and any(
        "names 2 classes, but the classifier has 3" in n for n in done.notes
    )
    config = TIMM_CONFIG | {"label_names": ["crane", "bee", "crane"]}
    done, header = converted(folder_of(weights, tmp_path / "cranes", config=config), tmp_path)
    assert header.classes == ("crane (0)", "bee", "crane (2)") and any("called crane" in note for note in done.notes)


def test_a_tag_of_ones_own_is_no_error_where_all_else_is_said(weights: Path, tmp_path: Path) -> None:
    name = "efficientnet_b0.zz_in1k"
    assert converted(folder_of(weights, tmp_path / name, config=TIMM_CONFIG), tmp_path)[1].preprocessing == LOOK
    (tmp_path / name / "config.json").unlink()
    with pytest.raises(UnknownNameError, match="unknown weights 'efficientnet_b0.zz_in1k'"):
        converted(tmp_path / name, tmp_path)
    assert converted(tmp_path / name, tmp_path, network="efficientnet_b0")[1].preprocessing.crop == 0.875


# transformers


@pytest.mark.parametrize("options", [{}, {"include_top": False}, {"rescale_offset": True, "rescale_factor": 1 / 127.5}])
def test_a_folder_of_transformers(tmp_path: Path, options: dict[str, Any]) -> None:
    """Pixels reach the network as its own processor gives them, which divides by std twice unless it is told not to."""
    transformers = pytest.importorskip("transformers")
    config = transformers.EfficientNetConfig(
        image_size=96, num_labels=3, id2label=dict(enumerate(CLASSES)), width_coefficient=1.0, depth_coefficient=1.0,
        hidden_dim=1280, batch_norm_eps=0.002,
    )  # fmt: skip
    transformers.EfficientNetForImageClassification(config).save_pretrained(tmp_path / "hf")
    processor = transformers.EfficientNetImageProcessor(
        size={"height": 80, "width": 80}, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.6, 0.7], resample=2, **options
    )
    processor.save_pretrained(tmp_path / "hf")
    done, header = converted(tmp_path / "hf", tmp_path)
    look = header.preprocessing
    assert (look.size, look.crop, look.interpolation, header.classes) == (80, 1.0, "bilinear", tuple(CLASSES))
    assert header.network.norm_eps == 0.002 and done.taken_from["bn_eps"] == done.taken_from["classes"] == "config.json"
    assert done.taken_from["size"] == done.taken_from["mean"] == "preprocessor_config.json"
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    theirs = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    ours = Normalise(look, torch.device("cpu"))(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    assert torch.allclose(theirs, ours, atol=1e-5)


def test_a_processor_that_crops(weights: Path, tmp_path: Path) -> None:
    table = {
        "size": {"shortest_edge": 100}, "crop_size": {"height": 80, "width": 80}, "do_center_crop": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_normalize": True, "resample": 0,
    }  # fmt: skip
    done, header = converted(folder_of(weights, tmp_path / "a", preprocessor_config=table), tmp_path)
    assert (header.preprocessing.size, header.preprocessing.resize) == (80, 100) and header.preprocessing.std[0] == 0.5
    assert any("resample 0" in note for note in done.notes)
    rectangle = table | {"crop_size": {"height": 80, "width": 96}}
    with pytest.raises(
        ConfigError, match=r"preprocessor_config.json: its input is 80 x 96 pixels, but Convscale's inputs are sq"
    ):
        converted(folder_of(weights, tmp_path / "b", preprocessor_config=rectangle), tmp_path)


# Metadata of safetensors


@pytest.mark.parametrize(
    "metadata",
    [
        {"arch": "timm efficientnet_b0, pad_type=same, bn_eps=2e-3", "input": "RGB 96, (x-127.5)/51"},
        {"architecture": "efficientnet_b0", "pad_type": "same", "bn_eps": "0.002", "input_size": "[3, 96, 96]",
         "mean": "[0.5, 0.5, 0.5]", "std": "[0.2, 0.2, 0.2]"},
        {"padding": "TF SAME", "batch_norm_eps": "2e-3", "image_size": "96x96", "mean": "0.5 0.5 0.5", "std": "0.2"},
        {"padding": "SAME", "norm_eps": "0.002", "input": "RGB 96x96, x / 51 - 2.5"},
    ],
)  # fmt: skip
def test_metadata_of_the_file(weights: Path, tmp_path: Path, metadata: dict[str, str]) -> None:
    file = tmp_path / "net.safetensors"
    tensors = safetensors.torch.load_file(weights)
    safetensors.torch.save_file(tensors, file, {"format": "pt", "source": "elsewhere", **metadata})
    done, header = converted(file, tmp_path)
    look = header.preprocessing
    assert (header.network.padding, header.network.norm_eps, look.size) == ("same", 0.002, 96)
    assert look.mean == pytest.approx((0.5,) * 3) and look.std == pytest.approx((0.2,) * 3)
    settings = ("size", "mean", "std", "padding", "bn_eps")
    assert {done.taken_from[key] for key in settings} == {"the file's metadata"}
    assert "the file's metadata: source: elsewhere" in done.notes  # what is not understood is shown


# Folders


def test_which_file_of_a_folder(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "any"
    folder.mkdir()
    with pytest.raises(RunError, match=r"any: no weights file .*model.safetensors"):
        converted(folder, tmp_path)
    (folder / "notes.txt").write_text("x")
    torch.save(safetensors.torch.load_file(weights), folder / "best.pth")
    found = run_json(capsys, "convert", folder, "-o", tmp_path / "o.safetensors")
    assert found["network"] == "efficientnet-b0" and found["taken_from"]["classes"] == "numbered"
    (folder / "optimizer.pt").write_bytes(b"x")  # as a Trainer leaves it: no weights
    converted(folder, tmp_path)
    (folder / "last.pth").write_bytes(b"x")
    with pytest.raises(RunError, match=r"2 weights files: best.pth, last.pth .*name one of them"):
        converted(folder, tmp_path)
    (folder / "model.safetensors").symlink_to(weights)
    assert converted(folder, tmp_path)[0].notes[0].startswith("model.safetensors used, out of 3 weights files")
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "model-00001-of-00002.safetensors").write_bytes(b"x")
    (parts / "model-00002-of-00002.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match="one of 2 parts of a network.s weights; the others are beside it"):
        converted(parts, tmp_path)


# Channels


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels(tmp_path: Path, channels: int) -> None:
    model = peers.timm().create_model("mobilenetv1_100", num_classes=2, in_chans=channels)
    file = saved(model, tmp_path / "net.pth")
    for name in ("mobilenetv1_100", "mobilenet-v1", None):  # published with one value for all channels
        assert converted(file, tmp_path, network=name)[1].preprocessing.mean == (0.5,) * channels
    with pytest.raises(ConfigError, match=f"--mean has 3 values for a network of {channels} input channels"):
        converted(file, tmp_path, mean=(0.1, 0.2, 0.3))


def test_nothing_is_published_for_the_channels_of_other_images(tmp_path: Path) -> None:
    """ImageNet's statistics are of red, green and blue."""
    file = saved(peers.timm().create_model("efficientnet_b0", num_classes=2, in_chans=4), tmp_path / "net.pth")
    with pytest.raises(ConfigError, match="the network's 4 input channels"):
        converted(file, tmp_path)
    values = (0.1, 0.2, 0.3, 0.4)
    assert converted(file, tmp_path, mean=values, std=(0.5,))[1].preprocessing.mean == values


def test_grey_takes_the_published_statistics(tmp_path: Path) -> None:
    """Of what is named, as the mean over RGB."""
    file = saved(peers.timm().create_model("efficientnet_b0", num_classes=2, in_chans=1), tmp_path / "net.pth")
    for name, mean, std in (("tf_efficientnet_b0.ap_in1k", 0.5, 0.5), ("tf_efficientnet_b0.in1k", 0.449, 0.226)):
        look = converted(file, tmp_path, network=name)[1].preprocessing
        assert (look.mean, look.std) == ((mean,), (std,))
