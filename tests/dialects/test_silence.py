"""What a stranger gave to `convert` that went through in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from convscale.dialects import Choices, convert
from convscale.errors import ConfigError, RunError
from convscale.headers import read_header
from tests import peers

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = peers.timm().create_model("mobilenetv1_100", num_classes=3).state_dict()
    return state


@pytest.fixture(scope="module")
def ours(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    torch.save(weights, folder / "net.pth")
    convert(folder / "net.pth", folder / "ours.safetensors", choices=Choices(mean=(0.1,), std=(0.2,), resolution=64))
    return folder / "ours.safetensors"


def test_what_is_read_is_not_written_over(tmp_path: Path, weights: dict[str, torch.Tensor], ours: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    for folder in (model, run):
        folder.mkdir()
    safetensors.torch.save_file(weights, model / "model.safetensors")
    shutil.copy(ours, run / "weights.safetensors")
    for source, output, to in ((model, model / "model.safetensors", None), (run, run / "best.safetensors", "timm")):
        before = {path: path.read_bytes() for path in source.iterdir()}
        with pytest.raises(ConfigError, match="would be overwritten"):
            convert(source, output, to=to)
        assert {path: path.read_bytes() for path in source.iterdir()} == before


def test_a_suffix_in_capitals_is_the_same_suffix(tmp_path: Path, ours: Path) -> None:
    shutil.copy(ours, tmp_path / "NET.SAFETENSORS")
    with pytest.raises(ConfigError, match="already in Convscale's format"):
        convert(tmp_path / "NET.SAFETENSORS", tmp_path / "o.safetensors")


@pytest.mark.parametrize("choices", [Choices(trunk=True), Choices(mean=(0.3,)), Choices(network="resnet-18")])
def test_options_that_a_file_of_ours_has_no_use_for(tmp_path: Path, ours: Path, choices: Choices) -> None:
    with pytest.raises(ConfigError, match="says all of that itself"):
        convert(ours, tmp_path / "o.safetensors", to="timm", choices=choices)


@pytest.mark.parametrize(
    ("checkpoint", "taken", "averages"),
    [
        (("model", "model_before_ema"), None, None),
        (("non_ema_model",), "non_ema_model", None),
        (("model_no_ema", "model_with_swa"), "model_with_swa", "model_with_swa"),
        (("model", "optimal_model"), None, None),
        (("optimized_model",), "optimized_model", None),
    ],
)
def test_names_that_only_look_like_averages_or_optimizers(
    tmp_path: Path, weights: dict[str, torch.Tensor], checkpoint: tuple[str, ...], taken: Any, averages: str | None
) -> None:
    """Two networks of which neither is an average of the other are refused."""
    parts = {key: {name: value + index for name, value in weights.items()} for index, key in enumerate(checkpoint)}
    torch.save(parts, tmp_path / "net.pth")
    if taken is None:
        with pytest.raises(RunError, match=checkpoint[1]):
            convert(tmp_path / "net.pth", tmp_path / "o.safetensors")
        return
    assert convert(tmp_path / "net.pth", tmp_path / "o.safetensors").averages == averages


def test_values_that_float32_cannot_hold(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights | {"classifier.bias": torch.full((3,), 1e300, dtype=torch.float64)}, tmp_path / "net.pth")
    with pytest.raises(RunError, match="infinite values, as float32"):
        convert(tmp_path / "net.pth", tmp_path / "o.safetensors")


def test_a_configuration_of_other_layers_is_reported(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    config = {"architecture": "mobilenetv1_100", "num_classes": 3, "model_args": {"act_layer": "relu"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "out").mkdir()
    done = convert(tmp_path, tmp_path / "out" / "o.safetensors")
    assert any("act_layer 'relu' is not read" in note for note in done.notes)
    assert read_header(tmp_path / "out" / "o.safetensors").network.name == "mobilenet-v1"
