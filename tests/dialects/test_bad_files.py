"""Hostile, damaged and unfitting files of weights are refused, and nothing is written."""

from __future__ import annotations

import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from convscale.dialects import Choices, convert
from convscale.dialects.reading import read_foreign
from convscale.errors import ConfigError, RunError, UnknownNameError
from tests import peers

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")


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
    refused(tensors | {"blocks.9.0.conv_pw.weight": torch.zeros(1)}, "blocks.9.0.conv_pw.weight is unexpected")
    refused(tensors | {name: tensors[name] * float("nan")}, f"{name} holds NaN or infinite")
    refused({"a": torch.zeros(1)}, "no known dialect; the first is 'a'.*--from one of timm")
    refused({"a": torch.zeros(1, dtype=torch.int64)}, "0 tensors of floating-point numbers")
    refused(tensors, "2 class names for 3 classes", classes=("a", "b"))
    refused(tensors, "not those of mobilenet-v2: ", network="mobilenet-v2")
    with pytest.raises(UnknownNameError, match="unknown dialect 'tim'"):
        convert(file, out, dialect="tim")
    with pytest.raises(RunError, match="no such file"):
        convert(tmp_path / "absent.pt", out)
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(RunError, match=r"\.onnx is not a weights format that can be read.*\.safetensors"):
        convert(tmp_path / "net.onnx", out)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pkl", ".h5", ".keras"])
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
    elif suffix == ".pkl":  # of any name, and compressed by somebody
        torch.save({"conv_stem.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "whole")
        with (
            zipfile.ZipFile(tmp_path / "whole") as whole,
            zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as made,
        ):
            for member in whole.namelist():
                made.writestr(member, whole.read(member))
        content = (tmp_path / "zip").read_bytes()
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
