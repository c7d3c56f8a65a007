"""Models in the formats of other runtimes: the same function, for any batch, the same bytes in any mode."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.data.loader import Normalise
from convscale.deploy.conversion import write_onnx, write_openvino
from convscale.exported.signal_stack import signal_stack_kept
from convscale.nn import Model
from convscale.preprocessing import default_preprocessing
from tests.deploy.small_networks import trained

WRITERS = {"onnx": write_onnx, "xml": write_openvino}
MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "none": torch.no_grad,
    "inference": torch.inference_mode,
}


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    for package in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)


def runs(path: Path, images: np.ndarray) -> np.ndarray:
    """The logits, copied out of the runtime's memory."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.array(session.run(["logits"], {session.get_inputs()[0].name: images})[0], copy=True)
    import openvino

    with signal_stack_kept():
        request = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    return np.array(request.infer({0: images})["logits"], copy=True)


def relative(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(found - right).max() / np.abs(right).max())


@pytest.fixture(scope="module", params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Model]]:
    model, path = trained(), tmp_path_factory.mktemp("written") / f"model.{request.param}"
    WRITERS[request.param](model, path, metadata={"classes": '["é", "b"]', "a": "1"})
    yield path, model


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_file_computes_what_the_model_does_for_any_batch(written: tuple[Path, Model], batch: int) -> None:
    path, model = written
    images = torch.randn(batch, 3, 17, 17, generator=torch.Generator().manual_seed(batch))
    with torch.inference_mode():
        right = model.eval()(images).numpy()
    assert relative(runs(path, images.numpy()), right) < 2e-5


@pytest.mark.parametrize("mode", MODES)
def test_bytes_do_not_depend_on_the_callers_mode(written: tuple[Path, Model], mode: str, tmp_path: Path) -> None:
    path, model = written
    before = model.training
    with MODES[mode]():
        WRITERS[path.suffix[1:]](model.train(), tmp_path / path.name, metadata={"a": "1", "classes": '["é", "b"]'})
        assert model.training
    model.train(before)
    for one in path.parent.iterdir():
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256((tmp_path / one.name).read_bytes()).digest()
    assert {one.name for one in tmp_path.iterdir()} == {one.name for one in path.parent.iterdir()}


@pytest.mark.long
@pytest.mark.parametrize("kind", WRITERS)
def test_pixels_are_normalised_inside(kind: str, tmp_path: Path) -> None:
    model, preprocessing = trained(), default_preprocessing(17, 3)
    WRITERS[kind](model, tmp_path / f"a.{kind}", preprocessing=preprocessing)
    pixels = torch.randint(0, 256, (3, 3, 17, 17), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        right = model.eval()(Normalise(preprocessing, torch.device("cpu"))(pixels)).numpy()
    assert relative(runs(tmp_path / f"a.{kind}", pixels.numpy()), right) < 2e-5


def test_metadata_is_in_the_file_and_nothing_of_this_machine(written: tuple[Path, Model]) -> None:
    path, _ = written
    if path.suffix == ".onnx":
        import onnx

        proto = onnx.load(path)
        onnx.checker.check_model(proto, full_check=True)
        kept = {entry.key: entry.value for entry in proto.metadata_props}
        assert any(node.name.startswith("stem.conv.conv/") for node in proto.graph.node)
    else:
        import openvino

        kept = openvino.Core().read_model(path).get_rt_info(["convscale"]).value
    assert kept == {"classes": '["é", "b"]', "a": "1"}
    assert str(Path(cs.__file__).parent).encode() not in path.read_bytes()


@pytest.mark.long
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "model.xml").write_bytes(b"before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_openvino(trained(), tmp_path / "model.xml")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("model.xml", b"before")]
