"""Files that are not what their name says, parts of networks, and values that no weights have."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import convscale as cs
from convscale.dialects import Choices, convert, find_weights_file
from convscale.dialects.folders import weights_in
from convscale.dialects.reading import read_foreign
from convscale.errors import ConfigError, RunError
from convscale.headers import read_header
from tests.cli.calling import run
from tests.dialects.foreign_weights import write
from tests.dialects.made_tensors import tensors_of

SMALL = "small-mobilenet-v1"
WEIGHTS = tensors_of(SMALL)
CHOICES = Choices(network=SMALL)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(cs.network(SMALL).with_classes(3), tmp_path_factory.mktemp("ours") / "ours.safetensors")


# Parts


def test_one_part_is_no_network(tmp_path: Path) -> None:
    part = tmp_path / "model-00001-of-00002.safetensors"
    safetensors.torch.save_file(WEIGHTS, part)
    for source in (part, tmp_path):
        with pytest.raises(RunError, match="one of 2 parts.*; model-00002-of-00002.safetensors missing.*max_shard"):
            convert(source, tmp_path / "o.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(RunError, match="one of 2 parts"):
        convert(tmp_path, tmp_path / "o.safetensors")
    part.rename(tmp_path / "model-00001-of-00001.safetensors")
    assert read_foreign(weights_in(tmp_path)[0]).tensors.keys() == WEIGHTS.keys()
    torch.save(WEIGHTS, tmp_path / "pytorch_model-00007-of-00100.bin")
    with pytest.raises(RunError, match="one of 100 parts.*00001-of-00100.bin, .*, ... missing"):
        read_foreign(tmp_path / "pytorch_model-00007-of-00100.bin")


def test_what_macos_leaves_in_folders(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "net.pth")
    for name in ("._net.pth", "._model.safetensors", ".net.pth.swp.bin", "._x.index"):
        (tmp_path / name).write_bytes(b"Mac OS X")
    assert weights_in(tmp_path) == (tmp_path / "net.pth", ())


# Values


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("classifier.weight", torch.ones(3, 128, dtype=torch.int8), "holds int8 values"),
        ("classifier.bias", torch.ones(3, dtype=torch.int32), "holds int32 values"),
        ("classifier.bias", torch.ones(3, dtype=torch.complex64), "holds complex64 values"),
        ("conv_stem.weight", torch.ones(16, 3, 3, 3, dtype=torch.bool), "holds bool values"),
        ("classifier.zero_point", torch.tensor(3), "quantised"),
        ("classifier.qweight", torch.ones(3, 128, dtype=torch.int32), "quantised"),
        ("bn1.running_var", torch.full((16,), -0.5), "negative values, which no variance has"),
        ("classifier.weight", torch.ones(0, 128), r"is empty: its shape is \(0, 128\)"),
    ],
)
def test_values_that_no_weights_have(tmp_path: Path, name: str, value: Tensor, reason: str) -> None:
    torch.save(WEIGHTS | {name: value}, tmp_path / "net.pth")
    with pytest.raises(RunError, match=f"{name} .*{reason}|{name} {reason}"):
        convert(tmp_path / "net.pth", tmp_path / "o.safetensors", choices=CHOICES)


@pytest.mark.filterwarnings("ignore")  # PyTorch's own way to quantise is deprecated, and its files are around
def test_quantised_tensors(tmp_path: Path) -> None:
    quantised = torch.quantize_per_tensor(torch.ones(3, 128), 0.1, 0, torch.qint8)
    torch.save(WEIGHTS | {"classifier.weight": quantised}, tmp_path / "net.pth")
    with pytest.raises(RunError, match="classifier.weight holds qint8 values.*before quantisation"):
        read_foreign(tmp_path / "net.pth")
    head = torch.nn.Sequential(torch.nn.Linear(128, 3))
    dynamic = torch.ao.quantization.quantize_dynamic(head, {torch.nn.Linear}).state_dict(prefix="classifier.")
    trunk = {name: one for name, one in WEIGHTS.items() if not name.startswith("classifier")}
    torch.save(trunk | dynamic, tmp_path / "net.pth")
    with pytest.raises(RunError, match="classifier.0.zero_point holds int64 values.*before quantisation"):
        read_foreign(tmp_path / "net.pth")


def test_counters_are_no_weights(tmp_path: Path) -> None:
    counters = {"bn1.num_batches_tracked": torch.tensor(3), "steps": torch.tensor([3])}
    torch.save(WEIGHTS | counters, tmp_path / "net.pth")
    assert read_foreign(tmp_path / "net.pth").tensors.keys() == WEIGHTS.keys()


# Trunks


@pytest.mark.parametrize("to", ["timm", "torchvision"])
def test_a_trunk_is_written_without_a_classifier(tmp_path: Path, to: str) -> None:
    torch.save(tensors_of("resnet-18", "torchvision"), tmp_path / "net.pth")
    trunk = Choices(network="resnet-18", trunk=True)
    convert(tmp_path / "net.pth", tmp_path / "ours.safetensors", choices=trunk)
    for source, choices in ((tmp_path / "net.pth", trunk), (tmp_path / "ours.safetensors", None)):
        done = convert(source, tmp_path / "theirs.safetensors", to=to, choices=choices)
        written = safetensors.torch.load_file(tmp_path / "theirs.safetensors")
        assert not [name for name in written if name.startswith("fc.")] and done.tensors == len(written)
        assert "a trunk: no classifier is written" in " ".join(done.notes)
    done = convert(
        tmp_path / "net.pth",
        tmp_path / "o.safetensors",
        choices=Choices(network="resnet-18", trunk=True, classes=("a",)),
    )
    assert "--classes is not used: there is no classifier" in done.notes
    back = convert(tmp_path / "theirs.safetensors", tmp_path / "b.safetensors", choices=Choices(network="resnet-18"))
    assert back.missing == ("fc.bias", "fc.weight")


def test_a_trunk_has_no_logits_to_compare(tmp_path: Path, noise: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "net.pth")
    for to in (None, "timm"):
        with pytest.raises(ConfigError, match="there is no classifier, so no logits to compare"):
            convert(tmp_path / "net.pth", tmp_path / "o.safetensors", to=to, verify=noise,
                    choices=Choices(network=SMALL, trunk=True))  # fmt: skip
    assert not (tmp_path / "o.safetensors").exists()


# Names of files


def test_a_file_is_written_as_its_name_says(tmp_path: Path, ours: Path) -> None:
    for suffix in (".pth", ".pt", ".bin", ".safetensors"):
        file = tmp_path / f"theirs{suffix}"
        convert(ours, file, to="timm")
        found = safetensors.torch.load_file(file) if suffix == ".safetensors" else torch.load(file, weights_only=True)
        assert found.keys() == WEIGHTS.keys()
    torch.save(WEIGHTS, tmp_path / "net.pth")
    for name, to in (("o.pth", None), ("o.h5", None), ("o.keras", "timm"), ("o.onnx", "torchvision")):
        with pytest.raises(ConfigError, match=r"not written as \.(pth|h5|keras|onnx) \(name it o\.safetensors"):
            convert(ours if to else tmp_path / "net.pth", tmp_path / name, to=to)
        assert not (tmp_path / name).exists()


def test_a_file_is_read_by_its_content(tmp_path: Path, ours: Path) -> None:
    safetensors.torch.save_file(WEIGHTS, tmp_path / "safe.pth", {"input_size": "96"})
    torch.save(WEIGHTS, tmp_path / "pickle.safetensors")
    shutil.copy(ours, tmp_path / "ours.pth")
    for name in ("safe.pth", "pickle.safetensors"):
        assert read_foreign(tmp_path / name).tensors.keys() == WEIGHTS.keys()
    convert(tmp_path / "safe.pth", tmp_path / "o.safetensors", choices=CHOICES)
    assert read_header(tmp_path / "o.safetensors").preprocessing.size == 96  # its metadata are read too
    with pytest.raises(ConfigError, match="already in Convscale's format"):
        convert(tmp_path / "ours.pth", tmp_path / "o.safetensors")


def test_a_configuration_in_an_archive_that_grows(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    with zipfile.ZipFile(tmp_path / "net.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", b"x")
        archive.writestr("config.json", b" " * 2**20)
    with pytest.raises(RunError, match="would unpack to 1,048,577: refused"):
        read_foreign(tmp_path / "net.keras")


# What is empty, broken or spelled otherwise


def test_names_that_are_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(WEIGHTS, tmp_path / "net.pth")
    (tmp_path / "names.txt").write_text("\n \n")
    for source, options, reason in (
        ("", [], "the file or folder to convert: the name is empty"),
        (tmp_path / "net.pth", ["--network", ""], "--network: the name is empty"),
        (tmp_path / "net.pth", ["--key", ""], "--key: the name is empty"),
        (tmp_path / "net.pth", ["--classes", tmp_path / "names.txt"], "names.txt: no class names"),
    ):
        code, _, error = run(capsys, "convert", source, "-o", tmp_path / "o.safetensors", *options)
        assert code == 2 and reason in error
    with pytest.raises(RunError, match="--weights: the name is empty"):
        find_weights_file("")


def test_a_broken_configuration_says_what_to_do(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "net.pth")
    (tmp_path / "config.json").write_text('{"architecture": ')
    with pytest.raises(ConfigError, match="config.json: not valid JSON.*mend it, or convert the weights from another"):
        convert(tmp_path / "net.pth", tmp_path / "o.safetensors", choices=CHOICES)


@pytest.mark.parametrize("name", ["Small-MobileNet-V1", "small_mobilenet_v1", "SMALL-MOBILENET-V1"])
def test_a_network_in_other_letters(tmp_path: Path, name: str) -> None:
    torch.save(WEIGHTS, tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "o.safetensors", choices=Choices(network=name))
    assert done.network == SMALL


def test_one_is_singular(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"args": {"model": "mobilenetv1_100"}}
    torch.save({"state_dict": tensors_of("mobilenet-v1"), **arguments}, tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "o.safetensors", choices=Choices(network="mobilenet-v1"))
    assert any(note.startswith("the checkpoint's arguments name only an architecture") for note in done.notes)
    averages = {name: one for name, one in WEIGHTS.items() if name != "conv_stem.weight"}
    torch.save({"model": WEIGHTS, "ema": averages}, tmp_path / "net.pth")
    assert any("1 tensor has no average, such as" in note for note in read_foreign(tmp_path / "net.pth").notes)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match=r"1 class name for 3 classes"):
        convert(tmp_path / "net.pth", tmp_path / "o.safetensors", choices=Choices(network=SMALL, classes=("a",)))
