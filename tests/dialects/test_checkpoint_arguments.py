"""A training's checkpoint says what it was made with: arguments of timm and torchvision, or of Lightning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch

from convscale.dialects import Conversion, convert
from convscale.errors import ConfigError
from convscale.headers import WeightsHeader, read_header
from tests import peers

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

SOURCE = "the checkpoint's arguments"


def converted(file: Path) -> tuple[Conversion, WeightsHeader]:
    out = file.with_name("ours.safetensors")
    return convert(file, out), read_header(out)


def saved_by_timm(file: Path, **arguments: Any) -> Path:
    """As its train.py saves it, with the options that it always has."""
    model = peers.timm().create_model(arguments["model"], num_classes=2)
    from timm.utils import CheckpointSaver

    unset = dict.fromkeys(("img_size", "input_size", "crop_pct", "mean", "std", "bn_eps")) | {"interpolation": ""}
    args = argparse.Namespace(**unset | {"model_kwargs": {}} | arguments)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    CheckpointSaver(model, optimizer, args, checkpoint_dir=str(file.parent))._save(str(file), 3)
    return file


def test_timms_architecture_and_arguments(tmp_path: Path) -> None:
    """What is not given is that of timm's default weights, whose crop it keeps at any size."""
    done, header = converted(saved_by_timm(tmp_path / "a.pth.tar", model="tf_efficientnet_b0"))
    assert (header.network.padding, header.network.norm_eps) == ("same", 1e-3)
    assert done.taken_from["padding"] == f"tf_efficientnet_b0.ns_jft_in1k, by {SOURCE}"
    arguments = {"img_size": 96, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"}
    file = saved_by_timm(tmp_path / "b.pth.tar", model="efficientnet_b0", **arguments)
    done, header = converted(file)
    look = header.preprocessing
    assert (look.size, look.mean, look.std) == (96, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert (look.crop, look.interpolation, header.network.padding) == (0.875, "bilinear", "symmetric")
    assert {done.taken_from[key] for key in ("size", "mean", "std", "interpolation")} == {SOURCE}
    with pytest.raises(ConfigError, match=f"{SOURCE}: its input is 96 x 128 pixels, but Convscale's inputs are square"):
        converted(saved_by_timm(tmp_path / "c.pth.tar", model="efficientnet_b0", input_size=[3, 96, 128]))


def test_torchvisions_references(tmp_path: Path) -> None:
    peers.timm()
    from torchvision import models

    args = argparse.Namespace(
        model="resnet18", val_resize_size=236, val_crop_size=224, train_crop_size=176, interpolation="bicubic", lr=0.5
    )
    state = models.resnet18(num_classes=2).state_dict()
    torch.save({"model": state, "epoch": 3, "args": args}, tmp_path / "checkpoint.pth")
    done, header = converted(tmp_path / "checkpoint.pth")
    look = header.preprocessing
    assert (look.size, look.resize, look.interpolation, done.dialect) == (224, 236, "bicubic", "torchvision")


def test_hyperparameters_of_lightnings(tmp_path: Path) -> None:
    model = peers.timm().create_model("tf_efficientnet_b0", num_classes=2)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for hyper, padding in (({"model_name": "tf_efficientnet_b0", "lr": 0.1}, "same"), ({"lr": 0.1}, "symmetric")):
        torch.save({"state_dict": state, "hyper_parameters": hyper}, tmp_path / "last.ckpt")
        assert converted(tmp_path / "last.ckpt")[1].network.padding == padding
    torch.save({"state_dict": state, "hyper_parameters": {"model": "resnet18"}}, tmp_path / "last.ckpt")
    done, _ = converted(tmp_path / "last.ckpt")
    assert f"{SOURCE} name resnet18, but the tensors are efficientnet-b0's: not used" in done.notes
