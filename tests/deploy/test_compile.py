"""A compiled network on images and on pixels: the same as `predict`, and as the model."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.deploy.conversion import write_onnx, write_openvino
from convscale.errors import ConfigError, DataError, MissingExtraError, RunError
from convscale.headers import WeightsHeader
from convscale.nn import save_weights
from convscale.preprocessing import default_preprocessing
from tests.deploy.planted_engines import kind, only

CLASSES = ("ant", "bee", "cow", "dog")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained at another resolution than its network's."""
    network = replace(cs.network("tiny-mbconv"), num_classes=len(CLASSES))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    header = WeightsHeader(network, default_preprocessing(network.resolution + 8, 3), CLASSES)
    save_weights(path, cs.build(network, seed=0), header)
    return path


@pytest.fixture(scope="module")
def exported(weights: Path) -> dict[str, Path]:
    model, metadata = cs.load(weights), cs.read_header(weights).as_metadata()
    model.network = replace(model.network, resolution=model.preprocessing.size)  # type: ignore[union-attr]
    inside = weights.with_name("inside.onnx")
    write_onnx(model, inside, metadata=metadata, preprocessing=model.preprocessing)
    write_onnx(model, weights.with_name("outside.onnx"), metadata=metadata)
    write_openvino(model, weights.with_name("outside.xml"), metadata=metadata)
    return {name: weights.with_name(name) for name in ("inside.onnx", "outside.onnx", "outside.xml")}


def pictures(n: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(n)]


def assert_same(found: list[cs.Prediction], expected: list[cs.Prediction]) -> None:
    assert [one.image for one in found] == [one.image for one in expected]
    for a, b in zip(found, expected, strict=True):
        assert [name for name, _ in a.classes] == [name for name, _ in b.classes]
        assert np.allclose([p for _, p in a.classes], [p for _, p in b.classes], atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_images_are_predicted_as_predict_does(weights: Path, engine: str) -> None:
    network = cs.compile(weights, engine, threads=1, batch=2)
    images = pictures(3)
    assert (network.engine, network.dtype, network.threads, network.choice) == (engine, "float32", 1, None)
    expected = cs.predict(weights, images, quiet=True, top=3)
    assert_same(network(images, top=3), expected)  # type: ignore[arg-type]
    assert_same(network.predict(images[0], top=3), expected[:1])


@pytest.mark.long
@pytest.mark.parametrize("name", ["inside.onnx", "outside.onnx", "outside.xml"])
def test_exported_files_know_their_images_and_classes(weights: Path, exported: dict[str, Path], name: str) -> None:
    network = cs.compile(exported[name], threads=1)
    assert network.classes == CLASSES and network.takes_pixels is name.startswith("inside")
    assert_same(network.predict(pictures(3)), cs.predict(weights, pictures(3), quiet=True))


def test_pixels_give_logits(weights: Path) -> None:
    network, model = cs.compile(weights, "eager", threads=1), cs.load(weights)
    x = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(x)
    found = network(x)
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    array = network(x.numpy().astype(np.float64))
    assert isinstance(array, np.ndarray) and array.dtype == np.float32
    assert np.allclose(array, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert "eager" in repr(network)


def test_pixels_that_are_none(weights: Path) -> None:
    network = cs.compile(weights, "eager")
    for wrong in (np.zeros((1, 4, 8, 8)), np.zeros((0, 3, 8, 8)), np.zeros((1, 3, 8, 8), np.uint8)):
        with pytest.raises(DataError, match=r"are not \(n, 3, height, width\) of float32"):
            network(wrong)
    with pytest.raises(ConfigError, match="top 0"):
        network.predict(pictures(1), top=0)
    with pytest.raises(DataError, match="no such image"):
        network("missing.jpg")
    unnamed = cs.compile("tiny-mbconv", "eager")
    with pytest.raises(ConfigError, match="its classes and its preprocessing are not known"):
        unnamed(pictures(1))


def test_a_model_stays_as_it_is(weights: Path) -> None:
    model = cs.build("tiny-mbconv", seed=0).train()
    network = cs.compile(model, "eager", threads=1)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert network(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, model.network.num_classes)  # type: ignore[union-attr]


@pytest.mark.long
def test_what_cannot_be_compiled(
    weights: Path, exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="no such file"):
        cs.compile(tmp_path / "gone.onnx")
    with pytest.raises(ConfigError, match="engine 'eager' does not run it.*'onnxruntime'"):
        cs.compile(exported["outside.onnx"], "eager")
    with pytest.raises(ConfigError, match="holds its preprocessing"):
        cs.compile(weights, files=[exported["inside.onnx"]], quiet=True)

    def broken(logits: np.ndarray) -> np.ndarray:
        raise NotImplementedError("no kernel\nat node 5")

    only(monkeypatch, kind("broken", broken), replace(kind("absent"), packages=("no_such_thing",), extra="absent"))
    with pytest.raises(ConfigError, match="engine 'broken' cannot run tiny-mbconv: no kernel at node 5"):
        cs.compile("tiny-mbconv", "broken")
    with pytest.raises(MissingExtraError, match=r"convscale\[absent\]"):
        cs.compile("tiny-mbconv", "absent")


@pytest.mark.long
def test_an_exported_file_is_compiled_without_pytorch(exported: dict[str, Path]) -> None:
    code = f"""
import sys
import numpy
import convscale as cs
for name in {[str(exported[name]) for name in ("outside.onnx", "outside.xml")]!r}:
    assert cs.compile(name, threads=1)(numpy.zeros((1, 3, 40, 40), numpy.float32)).shape == (1, 4)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
