"""Exported files are benched as they are, and what runtimes take is measured without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convscale as cs
from convscale.deploy.conversion import write_onnx, write_openvino
from convscale.deploy.engines import open_engine
from convscale.deploy.one_batch import run_one_batch
from convscale.deploy.peak_memory import measuring
from convscale.deploy.subjects import open_subject
from convscale.errors import ConfigError, RunError
from convscale.headers import WeightsHeader
from convscale.preprocessing import Preprocessing

SHORT: dict[str, Any] = {"seconds": 0.01, "least": 2, "memory": False, "quiet": True}
PLAIN_TORCH = 200e6  # bytes, less than PyTorch takes before it does anything


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network in both formats, one that takes pixels, and one that says nothing about itself."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("files")
    model = cs.build("tiny-mbconv", seed=0)
    network = model.network
    preprocessing = Preprocessing(network.resolution)
    metadata = WeightsHeader(network, preprocessing, tuple(map(str, range(network.num_classes)))).as_metadata()
    write_onnx(model, folder / "few.onnx", metadata=metadata)
    write_openvino(model, folder / "few.xml", metadata=metadata)
    write_openvino(model, folder / "pixels.xml", metadata=metadata, preprocessing=preprocessing)
    write_openvino(model, folder / "silent.xml")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.long
def test_an_exported_file_runs_in_the_engine_of_its_format(files: dict[str, Path]) -> None:
    sources = [files["few.onnx"], files["few.xml"], files["pixels.xml"]]
    for engines in ([], ["all"]):
        found = cs.bench_networks(sources, engines=engines, batch=2, **SHORT)
        kinds = [(one.network, one.engine, one.dtype) for one in found.rows]
        engine_of = {".onnx": "onnxruntime", ".xml": "openvino"}
        assert kinds == [(str(path), engine_of[path.suffix], "float32") for path in sources]
        assert not found.not_benched and {one.max_relative_difference for one in found.rows} == {None}


def test_an_exported_file_runs_in_no_other_engine(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="runs in onnxruntime alone, not in eager"):
        cs.bench_networks(files["few.onnx"], engines=["eager"], **SHORT)


def test_a_file_that_does_not_say_what_it_takes(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not say what it takes"):
        cs.bench_networks(files["silent.xml"], **SHORT)
    with pytest.raises(RunError, match="no such file"):
        cs.bench_networks(tmp_path / "none.onnx", **SHORT)


def test_pixels_go_into_a_file_that_normalises_them(files: dict[str, Path]) -> None:
    assert open_subject(files["pixels.xml"], 3).images.dtype == np.uint8
    found = cs.bench_networks([files["pixels.xml"], files["few.xml"]], end_to_end=True, **SHORT)
    assert len(found.rows) == 2 and found.measured == "images"


@pytest.mark.long
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_memory_of_a_runtime_is_that_of_a_process_without_pytorch(files: dict[str, Path], name: str) -> None:
    subject = open_subject("tiny-mbconv", 1)
    with measuring(subject) as measure:
        peak = measure.peak(open_engine(name, subject.model))  # type: ignore[arg-type]
        assert peak is not None and 20e6 < peak < PLAIN_TORCH
        assert sorted(path.suffix for path in measure.folder.iterdir())[-1] in (".onnx", ".xml")
    file = files["few.onnx" if name == "onnxruntime" else "few.xml"]
    spec = {"engine": name, "dtype": "float32", "threads": 1, "file": str(file), "shape": subject.images.shape}
    code = (
        "import json, sys\nfrom convscale.deploy.one_batch import run_one_batch\n"
        "run_one_batch(json.loads(sys.argv[1]))\nprint('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, json.dumps(spec | {"numbers": "float32"})]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
    assert run_one_batch(spec | {"numbers": "float32"}) > peak, "in this process there is PyTorch, too"
