"""Exports: run again and compared, tied to their weights by hashes, written whole or not at all, used like a run."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.deploy import exporting
from convscale.deploy.exporting import export
from convscale.exported import FORMATS, format_of
from convscale.exported.network import open_exported
from convscale.records import read_record
from tests.cli.calling import run, run_json
from tests.deploy.small_networks import CLASSES, NETWORK, photos, weights

HERE = ("onnx", "openvino", "torch")  # the others take a minute of imports; see below


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    for package in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights(tmp_path_factory.mktemp("weights") / "few.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture(scope="module")
def exported(file: Path, images: Path) -> dict[str, cs.ExportRecord]:
    """One of each format, some of them with the preprocessing inside."""
    ways = {"onnx": "inside", "openvino": "outside", "torch": "inside"}
    return {to: export(file, to, preprocessing=ways[to], data=images, quiet=True) for to in HERE}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("to", HERE)
def test_an_export_is_compared_on_the_images_and_tied_by_hashes(
    exported: dict[str, cs.ExportRecord], file: Path, to: str
) -> None:
    record = exported[to]
    path = file.with_suffix(FORMATS[to].suffix)
    assert record.path == str(path) and record == read_record(record.manifest)
    one = record.comparison
    assert one is not None and (one.n, one.images, one.top1_agreement) == (24, "given", 1)
    assert 0 < one.max_relative_difference < 2e-5
    assert {found.name: found.sha256 for found in record.files} == {
        found.name: sha256(file.with_name(found.name)) for found in record.files
    }
    assert record.weights.sha256 == sha256(file) and record.network == NETWORK and record.budget is None


@pytest.mark.parametrize("to", HERE)
def test_files_predict_and_evaluate_as_the_weights_do(
    exported: dict[str, cs.ExportRecord], file: Path, images: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, photo = exported[to].path, images / "b" / "0.png"
    found, right = (run_json(capsys, "predict", one, photo)["predictions"][0]["classes"] for one in (path, file))
    assert [row["class"] for row in found] == [row["class"] for row in right]
    assert [row["probability"] for row in found] == pytest.approx([row["probability"] for row in right], rel=1e-4)
    measured, expected = (run_json(capsys, "eval", one, "--data", images) for one in (path, file))
    assert {**measured, "images_per_second": 0, "ece": 0} == {**expected, "images_per_second": 0, "ece": 0}
    assert measured["ece"] == pytest.approx(expected["ece"], abs=1e-4)
    code, _, error = run(capsys, "eval", path, "--data", images, "--resolution", "32")
    assert code == 2 and "takes images of 17 px, not 32 px" in error


def test_a_file_says_all_about_itself(exported: dict[str, cs.ExportRecord], tmp_path: Path) -> None:
    for record in exported.values():
        Path(record.manifest).rename(tmp_path / "away")
        header = open_exported(record.path).header
        (tmp_path / "away").rename(record.manifest)
        assert (header.network, header.classes, header.preprocessing) == (NETWORK, CLASSES, cs.Preprocessing(17))
        assert header.provenance is not None and header.provenance.source == "elsewhere"


@pytest.mark.long
def test_the_command_says_what_was_compared(
    file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capsys, "export", file, "--to", "openvino", "-o", tmp_path / "a.xml")
    assert code == 0 and "images of noise" in out and "compared on noise" in error
    assert {path.name for path in tmp_path.iterdir()} == {"a.xml", "a.bin", "a.xml.json"}
    told = run_json(capsys, "export", file, "--to", "openvino", "-o", tmp_path / "a.xml", "--images", images / "b")
    assert list(told)[:5] == ["path", "bytes", "top1_agreement", "max_relative_difference", "manifest"]
    assert told["comparison"]["n"] == 8 and told["top1_agreement"] == 1
    assert told["bytes"] == sum((tmp_path / name).stat().st_size for name in ("a.xml", "a.bin"))
    assert Path(told["manifest"]).exists()


@pytest.mark.long
def test_a_run_is_tied_to_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    trained = cs.fit("digits", cs.Budget(macs="300k"), epochs=1, output=tmp_path / "run", quiet=True)
    record = export(tmp_path / "run", "openvino", data="digits", quiet=True)
    assert record.budget == cs.Budget(macs="300k") and record.run == str(tmp_path / "run")
    assert record.path == str(tmp_path / "run" / "weights.xml") and record.network == trained.run.network()
    assert record.comparison is not None and record.comparison.images == "given" and record.top1_agreement == 1


# What goes wrong


@pytest.mark.long
def test_a_file_that_computes_something_else_is_not_kept(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = exporting.WRITERS["openvino"]

    def wrong(given: Any, path: Path, metadata: dict[str, str]) -> None:
        given.module.head.classifier.linear.bias.data[0] += 5
        honest(given, path, metadata)

    monkeypatch.setitem(exporting.WRITERS, "openvino", wrong)
    with pytest.raises(cs.ExportError, match="differ from the network's by .* nothing was kept"):
        export(file, "openvino", output=tmp_path / "a.xml", quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(given: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setitem(exporting.WRITERS, "onnx", full)
    with pytest.raises(OSError, match="No space left"):
        export(file, "onnx", output=tmp_path / "a.onnx", quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "onnx", "-o", "a.xml"), "ONNX files end in .onnx"),
        (("--to", "onnx", "-o", "none/a.onnx"), "no file can be written"),
        (("--to", "tvm"), "'tvm' is not one of"),
        (("--to", "onnx", "--data", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_refused(
    file: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, "export", file, *arguments)
    assert code == 2 and said in error


def test_what_is_missing_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("convscale.exported.formats.find_spec", lambda name: None)
    for to, package, extra in (("litert", "litert-torch", "litert"), ("onnx", "onnx", "onnx")):
        code, _, error = run(capsys, "export", file, "--to", to, "-o", tmp_path / f"a{FORMATS[to].suffix}")
        assert code == 1 and f"needs {package}, which is not installed" in error and f"convscale[{extra}]" in error


def test_strangers_and_damaged_files_are_refused(
    exported: dict[str, cs.ExportRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    (tmp_path / "cut.onnx").write_bytes(Path(exported["onnx"].path).read_bytes()[:-200])
    (tmp_path / "noise.xml").write_bytes(b"<net>")
    (tmp_path / "phone.mlpackage").mkdir()
    (tmp_path / "lone.tflite").write_bytes(b"no")
    for name in ("cut.onnx", "noise.xml"):
        code, _, error = run(capsys, "predict", tmp_path / name, image)
        assert code == 2 and "cannot open it" in error, error
    code, _, error = run(capsys, "export", exported["onnx"].path, "--to", "onnx")
    assert code == 2 and "exported already" in error
    assert format_of(tmp_path / "phone.mlpackage") == FORMATS["coreml"]
    with pytest.raises(cs.ConfigError, match="Apple"):
        open_exported(tmp_path / "phone.mlpackage")
    manifest = json.loads(Path(exported["onnx"].manifest).read_text())
    assert manifest["kind"] == "export"


def test_classes_come_from_the_manifest_where_a_format_keeps_none(
    exported: dict[str, cs.ExportRecord], tmp_path: Path
) -> None:
    import openvino

    core = openvino.Core()
    openvino.save_model(core.read_model(exported["openvino"].path), tmp_path / "a.xml")
    bare = (tmp_path / "a.xml").read_text()
    (tmp_path / "a.xml").write_text(bare.replace("<convscale>", "<other>").replace("</convscale>", "</other>"))
    with pytest.raises(cs.RunError, match="does not say which classes"):
        open_exported(tmp_path / "a.xml")
    (tmp_path / "a.xml.json").write_text(Path(exported["openvino"].manifest).read_text())
    with pytest.raises(cs.RunError, match="not the file that a.xml.json describes"):
        open_exported(tmp_path / "a.xml")
