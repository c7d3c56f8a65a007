"""Which of a file's networks is read: averages are of weights with their names and shapes, and --key chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.dialects import Choices, convert
from convscale.dialects.averages import _says_average
from convscale.dialects.reading import Foreign, read_foreign
from convscale.errors import ConfigError, RunError
from tests.cli.calling import run, run_json
from tests.dialects.made_tensors import tensors_of

SMALL, OTHER = "small-mobilenet-v1", "small-mbconv"


def read(value: Any, file: Path, key: str | None = None) -> Foreign:
    torch.save(value, file)
    return read_foreign(file, key)


def first(foreign: Foreign) -> float:
    return float(foreign.tensors["conv_stem.weight"].flatten()[0])


NETWORKS = {
    "of another network": (tensors_of(SMALL, value=1), tensors_of(OTHER, value=2)),
    "of other classes": (tensors_of(SMALL, value=1), tensors_of(SMALL, classes=15, value=2)),
}


@pytest.mark.parametrize("raw_key, average_key", [("student", "teacher_ema"), ("model", "ema"), ("net", "avg_model")])
@pytest.mark.parametrize("kind", NETWORKS)
def test_averages_of_another_network_are_not_preferred(
    tmp_path: Path, kind: str, raw_key: str, average_key: str
) -> None:
    raw, average = NETWORKS[kind]
    file = tmp_path / "net.pth"
    for value in ({raw_key: raw, average_key: average}, {average_key: {"module": average}, raw_key: raw}):
        with pytest.raises(RunError, match=f"2 networks could be meant.*--key {average_key}") as refused:
            read(value, file)
        assert repr(raw_key) in refused.value.message
    assert first(read({raw_key: raw, average_key: average}, file, raw_key)) == 1
    chosen = read({raw_key: raw, average_key: average}, file, average_key)
    assert first(chosen) == 2 and chosen.averages == average_key


def test_averages_beside_two_networks_that_they_could_be_of(tmp_path: Path) -> None:
    last, best, average = (tensors_of(SMALL, value=value) for value in (1, 2, 3))
    with pytest.raises(RunError, match="3 networks could be meant"):
        read({"last": last, "best": best, "ema": average}, tmp_path / "net.pth")
    assert first(read({"last": last, "best": dict(last), "ema": average}, tmp_path / "net.pth")) == 3
    teacher = tensors_of(OTHER, value=4)
    with pytest.raises(RunError, match="2 networks could be meant: 'teacher', 'ema'"):
        read({"student": last, "teacher": teacher, "ema": average}, tmp_path / "net.pth")


def test_a_key_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last, best = tensors_of(SMALL, value=1), tensors_of(SMALL, value=2)
    file, out = tmp_path / "net.pth", tmp_path / "ours.safetensors"
    torch.save({"state": {"last": last, "best": best}}, file)
    common = ("convert", str(file), "-o", str(out), "--network", SMALL)
    code, _, error = run(capsys, *common)
    assert code == 2 and "--key state.last or --key state.best" in error
    done = run_json(capsys, *common, "--key", "state.best")
    assert float(cs.load(out).stem.conv.conv.weight.detach().flatten()[0]) == 2
    assert any("'state.best'" in note for note in done["notes"])
    code, _, error = run(capsys, *common, "--key", "bset")
    assert code == 2 and "no network at --key bset" in error and "state.last, state.best" in error


def test_a_key_of_a_prefix_and_of_the_outermost(tmp_path: Path) -> None:
    flat = tensors_of(SMALL, value=1) | {f"twin.{name}": one for name, one in tensors_of(OTHER, value=2).items()}
    assert first(read(flat, tmp_path / "net.pth", "twin")) == 2
    assert first(read(flat, tmp_path / "net.pth", ".")) == 1
    with pytest.raises(RunError, match=r"no network at --key twi \(its networks are at: twin, \.\)"):
        read(flat, tmp_path / "net.pth", "twi")


def test_a_key_below_which_averages_are(tmp_path: Path) -> None:
    """As everywhere, they are preferred to the weights beside them; named themselves, the weights are read."""
    value = {"a": {"model": tensors_of(SMALL, value=1), "ema": tensors_of(SMALL, value=2)}, "b": tensors_of(OTHER)}
    assert [first(read(value, tmp_path / "net.pth", key)) for key in ("a", "a.model", "a.ema")] == [2, 1, 2]


def test_a_key_for_a_file_without_keys(tmp_path: Path) -> None:
    (tmp_path / "net.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ConfigError, match="PyTorch and safetensors files alone"):
        convert(tmp_path / "net.weights.h5", tmp_path / "o.safetensors", choices=Choices(key="a"))


@pytest.mark.parametrize(
    "key",
    ["moving_mnist_net", "shadow_net", "avg_pool_net", "shadow_model", "average_joe", "movingNet", "avgpool", "model"],
)
def test_words_that_say_nothing_of_averages(tmp_path: Path, key: str) -> None:
    assert not _says_average([key])
    assert read({key: tensors_of(SMALL)}, tmp_path / "net.pth").averages is None


@pytest.mark.parametrize(
    "key",
    ["ema", "model_ema", "teacher_ema", "shadow", "shadow_params", "moving_average", "avg_model", "model_avg",
     "average_model_state", "averaging_state", "polyak", "swa_model", "modelEMA", "moving_avg_weights"],
)  # fmt: skip
def test_words_that_say_averages(key: str) -> None:
    assert _says_average([key])
