"""What files say of weights: the file before its name, nothing that contradicts in silence, nothing absurd at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from convscale.dialects import Choices, Conversion, convert
from convscale.dialects.configs import size_in
from convscale.errors import ConfigError
from convscale.headers import WeightsHeader, read_header
from tests.dialects.made_tensors import tensors_of

RESNET = tensors_of("resnet-18")
MOBILE = tensors_of("mobilenet-v1")


def converted(source: Path, **choices: Any) -> tuple[Conversion, WeightsHeader, str]:
    """With the network given, so that no other is tried."""
    out = source.absolute().parent / "ours.safetensors"
    done = convert(source, out, choices=Choices(**choices))
    return done, read_header(out), "\n".join(done.notes)


def with_metadata(folder: Path, **metadata: str) -> Path:
    safetensors.torch.save_file(MOBILE, folder / "net.safetensors", metadata)
    return folder / "net.safetensors"


def with_config(folder: Path, config: dict[str, Any], name: str = "net") -> Path:
    (folder / name).mkdir()
    safetensors.torch.save_file(MOBILE, folder / name / "model.safetensors")
    (folder / name / "config.json").write_text(json.dumps(config))
    return folder / name


def cfg(**values: Any) -> dict[str, Any]:
    return {"architecture": "mobilenetv1_100", "pretrained_cfg": values}


# Names


def test_a_network_that_is_not_known(tmp_path: Path) -> None:
    """Its tensors may be those of one that is: a blurred ResNet-18's are."""
    folder = with_config(tmp_path, {"architecture": "mobilenetblur_100"})
    with pytest.raises(ConfigError, match="'mobilenetblur_100' is not known here.*--network mobilenet-v1"):
        converted(folder)
    assert (
        "config.json names 'mobilenetblur_100', which is not known here" in converted(folder, network="mobilenet-v1")[2]
    )
    torch.save({"state_dict": RESNET, "args": {"model": "resnetblur18"}}, tmp_path / "net.pth")
    notes = converted(tmp_path / "net.pth", network="resnet-18")[2]
    assert "the checkpoint's arguments name 'resnetblur18', which is not known here: read as resnet-18" in notes


def test_what_the_file_says_comes_before_its_name(tmp_path: Path) -> None:
    """A name that only says more, the weights of the same architecture, is no contradiction."""
    torch.save({"state_dict": RESNET, "arch": "resnet18"}, tmp_path / "resnet18.a3_in1k.pth")
    done, _, notes = converted(tmp_path / "resnet18.a3_in1k.pth")
    assert done.taken_from["size"] == "resnet18.a3_in1k, by the file's name" and "not used" not in notes
    config = {"architecture": "mobilenetv1_100.ra4_e3600_r224_in1k"}
    folder = with_config(tmp_path, config, "mobilenetv1_100h.ra4_e3600_r224_in1k")
    done, _, notes = converted(folder)
    assert done.taken_from["mean"] == "mobilenetv1_100.ra4_e3600_r224_in1k, by config.json"
    folder = with_config(tmp_path, {"architecture": "resnet18.a1_in1k"}, "resnet18.a3_in1k")
    safetensors.torch.save_file(RESNET, folder / "model.safetensors")
    done, _, notes = converted(folder)
    assert done.taken_from["size"] == "resnet18.a1_in1k, by config.json"
    assert "the folder's name names resnet18.a3_in1k: not used, since config.json comes first" in notes


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [
        ({"gp": "max"}, ["gp 'max'"]),
        ({"gp": "avg", "drop": 0.1, "drop_path": 0.2}, []),
        ({"act_layer": "relu", "model_kwargs": {"output_stride": 16, "drop_rate": 0.1}},
         ["act_layer 'relu'", "output_stride 16"]),
        ({"model_kwargs": {"act_layer": torch.nn.ReLU, "norm_layer": torch.nn.Identity()}},
         ["act_layer torch.nn.modules.activation.ReLU", "norm_layer torch.nn.modules.linear.Identity"]),
        ({"model_kwargs": {"pad_type": "same", "bn_eps": 1e-2, "zero_init_last": False}}, []),
    ],
)  # fmt: skip
def test_arguments_that_change_the_network(tmp_path: Path, arguments: dict[str, Any], noted: list[str]) -> None:
    torch.save({"state_dict": MOBILE, "args": {"model": "mobilenetv1_100"} | arguments}, tmp_path / "net.pth")
    _, header, notes = converted(tmp_path / "net.pth", network="mobilenet-v1")
    assert [note.split(": ")[1].split(" is")[0] for note in notes.split("\n") if "is not read" in note] == noted
    if "pad_type" in str(arguments):
        assert (header.network.padding, header.network.norm_eps) == ("same", 1e-2)


# Mean and std

MEANS, STDS = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def test_values_from_0_to_255_are_recognised(tmp_path: Path) -> None:
    _, header, notes = converted(with_config(tmp_path, cfg(mean=MEANS, std=STDS)), network="mobilenet-v1")
    assert header.preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert header.preprocessing.std == pytest.approx((0.229, 0.224, 0.225))
    assert "config.json: mean and std are for values from 0 to 255, and are divided by 255" in notes
    _, header, _ = converted(with_metadata(tmp_path, mean="103.5 116 123.7", std="1"), network="mobilenet-v1")
    assert header.preprocessing.std == pytest.approx((1 / 255,) * 3)
    torch.save({"state_dict": MOBILE, "args": {"mean": [0, 0, 0], "std": [255, 255, 255]}}, tmp_path / "net.pth")
    assert converted(tmp_path / "net.pth", network="mobilenet-v1")[1].preprocessing.std == (1.0,) * 3


@pytest.mark.parametrize(
    ("mean", "std"),
    [([0.5] * 3, [-0.5] * 3), ([50.0] * 3, [0.2] * 3), (MEANS, [0.229] * 3), ([0.5] * 3, STDS), ([0.5] * 3, [0.0] * 3),
     ([1000.0] * 3, [900.0] * 3), ([0.5, 100, 100], STDS)],
)  # fmt: skip
def test_statistics_that_cannot_be(tmp_path: Path, mean: list[float], std: list[float]) -> None:
    folder = with_config(tmp_path, cfg(mean=mean, std=std))
    with pytest.raises(ConfigError, match="mean .* from config.json and std .* from config.json: not those of pixel"):
        converted(folder, network="mobilenet-v1")
    assert converted(folder, network="mobilenet-v1", mean=(0.5,), std=(0.5,))[1].preprocessing.mean == (0.5,) * 3
    with pytest.raises(ConfigError, match="std -1/-1/-1 from --std"):
        converted(folder, network="mobilenet-v1", mean=(0.5,), std=(-1.0,))


@pytest.mark.parametrize(
    ("mean", "std", "hint"),
    [(MEANS, STDS, "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"),
     ([127.5], [1], "--mean 0.5,0.5,0.5 --std 0.003922,0.003922,0.003922"),
     (MEANS, [0.229], "--mean 0.485,0.456,0.406 --std 0.229,0.229,0.229"),
     ([0.5], STDS, "--mean 0.5,0.5,0.5 --std 0.229,0.224,0.225"),
     ([0.5], [0], "--std above 0"), ([-3], [0.2], "--mean from -1 to 1"), ([1000], [900], "--std above 0, up to 2")],
)  # fmt: skip
def test_options_for_values_from_0_to_255_are_refused_with_what_to_give(
    tmp_path: Path, mean: list[float], std: list[float], hint: str
) -> None:
    torch.save(MOBILE, tmp_path / "net.pth")
    with pytest.raises(ConfigError) as caught:
        converted(tmp_path / "net.pth", network="mobilenet-v1", mean=tuple(mean), std=tuple(std))
    assert hint in caught.value.hint and ("divided by 255" in caught.value.hint) == (" --std 0." in hint)


def test_numbers_of_another_count_are_reported(tmp_path: Path) -> None:
    folder = with_config(tmp_path, cfg(mean=[0.1, 0.2, 0.3, 0.4]))
    _, header, notes = converted(folder, network="mobilenet-v1")
    assert header.preprocessing.mean == (0.5,) * 3
    assert "config.json: mean has 4 values for 3 channels: not used" in notes


@pytest.mark.parametrize(
    "metadata",
    [
        {"results": "mean=0.83, std=0.02 of five runs"}, {"model": "mobilenetv1_100 mean=0.83 std=0.02"},
        {"mean": "0.83 over five runs", "std": "0.02"}, {"notes": "loss is x/3 - 1, crop=0.3, RGB 96"},
        {"mean": "0.83"}, {"input_size": "Infinity"}, {"input_size": "[3, NaN, Infinity]"},
        {"input_size": "1" + "0" * 400}, {"std": "[0.1, 1e999, 0.1]", "mean": "0.1"},
    ],
)  # fmt: skip
def test_free_text_is_shown_and_not_read(tmp_path: Path, metadata: dict[str, str]) -> None:
    done, header, notes = converted(with_metadata(tmp_path, **metadata), network="mobilenet-v1")
    assert "the file's metadata" not in done.taken_from.values()
    assert (header.preprocessing.mean, header.preprocessing.size) == ((0.5,) * 3, 224)
    assert all(f"the file's metadata: {key}: {value[:300]}" in notes for key, value in metadata.items())


# Sizes


@pytest.mark.parametrize(
    ("shape", "size"),
    [(96, 96), ((96,), 96), ((3, 96, 96), 96), ((96, 96, 3), 96), ((96, 96), 96), ((1, 96, 96), 96),
     ((200, 32, 32), 32), ((32, 32, 200), 32), ((1, 3, 96, 96), 96), ((3, 96, 128), (96, 128)),
     ((96, 128, 3), (96, 128)), ((96, 128), (96, 128)), ((3, 0, 96), None), ("96", None), ((), None),
     (True, None), ((3, 96.5, 96), None), (float("inf"), None), (10**400, None)],
)  # fmt: skip
def test_sizes_in_every_order(shape: Any, size: Any) -> None:
    assert size_in(shape) == size


def test_a_rectangle_is_refused_unless_a_side_is_given(tmp_path: Path) -> None:
    folder = with_config(tmp_path, cfg(input_size=[96, 128, 3]))
    with pytest.raises(ConfigError, match="config.json: its input is 96 x 128 pixels.*set --resolution PX"):
        converted(folder, network="mobilenet-v1")
    _, header, notes = converted(folder, network="mobilenet-v1", resolution=64)
    assert header.preprocessing.size == 64 and "although config.json says 96/128" in notes
    file = with_metadata(tmp_path, input_size="96x128")
    with pytest.raises(ConfigError, match="metadata: its input is 96 x 128"):
        converted(file, network="mobilenet-v1")
    assert converted(file, network="mobilenet-v1", resolution=64)[1].preprocessing.size == 64
