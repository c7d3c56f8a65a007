"""Exported files run without PyTorch, in little memory; what is no such file is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import convscale as cs
from convscale import machine
from convscale.deploy.conversion import write_onnx, write_openvino
from convscale.deploy.engines import open_file
from convscale.errors import ConfigError, RunError
from convscale.nn import Model

MEGABYTES = {".onnx": 130, ".xml": 170}  # of the whole process, for B0


def written(model: Model, path: Path) -> Path:
    (write_onnx if path.suffix == ".onnx" else write_openvino)(model, path, metadata={"made_by": "a test"})
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    model = cs.build("tiny-mbconv", seed=0).eval()
    folder = tmp_path_factory.mktemp("exported")
    return {suffix: written(model, folder / f"tiny{suffix}") for suffix in MEGABYTES}


@pytest.mark.long
@pytest.mark.parametrize("suffix", MEGABYTES)
def test_a_file_computes_the_models_logits(files: dict[str, Path], suffix: str) -> None:
    model, engine = cs.build("tiny-mbconv", seed=0).eval(), open_file(files[suffix])
    assert engine.dtype == "float32" and engine.metadata["made_by"] == "a test" and not engine.takes_pixels
    side = model.network.resolution
    for n in (2, 1, 5):
        x = np.random.default_rng(n).normal(size=(n, 3, side, side)).astype(np.float32)
        with torch.inference_mode():
            expected = model(torch.from_numpy(x)).numpy()
        first = engine(x)
        kept = first.copy()
        engine(-x)
        assert np.array_equal(first, kept)
        assert np.abs(first - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.long
@pytest.mark.parametrize("suffix", MEGABYTES)
def test_a_process_that_runs_a_file_imports_no_pytorch_and_stays_small(tmp_path: Path, suffix: str) -> None:
    path = written(cs.build("efficientnet-b0", seed=0), tmp_path / f"b0{suffix}")
    code = f"""
import resource, sys
import numpy
from convscale.deploy.engines import open_file
logits = open_file({str(path)!r})(numpy.zeros((1, 3, 224, 224), numpy.float32))
assert logits.shape == (1, 1000)
assert "torch" not in sys.modules
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    # A process that is forked counts what it was forked from as its own peak: the shell in between is small.
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", code], check=True, timeout=120, capture_output=True
    )
    assert float(done.stdout) <= MEGABYTES[suffix], f"{float(done.stdout):.0f} MB"


@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO registers a stack for signals on Linux alone")
def test_signals_are_handled_after_networks_are_freed_in_any_order(files: dict[str, Path]) -> None:
    code = f"""
import signal, subprocess
import numpy
from convscale.deploy.engines import open_file
from convscale.exported.signal_stack import registered
handled = []
signal.signal(signal.SIGCHLD, lambda *_: handled.append(1))
before = registered().address
first, second = open_file({str(files[".xml"])!r}), open_file({str(files[".xml"])!r})
for engine in (first, second):
    engine(numpy.zeros((1, 3, 32, 32), numpy.float32))
del engine, first
del second
subprocess.run(["true"], check=True)
assert handled and registered().address == before, registered().address
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_files_that_cannot_be_opened(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"gone\.onnx: no such file"):
        open_file(tmp_path / "gone.onnx")
    with pytest.raises(RunError, match="not an exported file"):
        open_file(tmp_path / "weights.safetensors")
    for suffix, engine in ((".onnx", "onnxruntime"), (".xml", "openvino")):
        damaged = tmp_path / f"damaged{suffix}"
        damaged.write_bytes(b"nothing of this kind")
        damaged.with_suffix(".bin").write_bytes(b"")
        with pytest.raises(ConfigError, match=f"'{engine}' cannot run .*damaged"):
            open_file(damaged)
    alone = tmp_path / "alone.xml"
    alone.write_bytes(files[".xml"].read_bytes())
    with pytest.raises(RunError, match=r"alone\.bin: no such file"):
        open_file(alone)
    with pytest.raises(ConfigError, match="computes in float32, not in int8"):
        open_file(files[".onnx"], dtype="int8")
    with pytest.raises(ConfigError, match="not in bfloat16"):
        open_file(files[".onnx"], dtype="bfloat16")
    with pytest.raises(ConfigError, match="threads"):
        open_file(files[".onnx"], threads=0)
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: False)
    with pytest.raises(ConfigError, match="does not multiply in bfloat16"):
        open_file(files[".xml"], dtype="bfloat16")
