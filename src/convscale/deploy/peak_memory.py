"""How much memory it takes to run a network in an engine: of a whole process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from convscale.deploy.engines import Engine
from convscale.deploy.engines.exported import FILE_ENGINES
from convscale.deploy.subjects import Subject
from convscale.headers import WeightsHeader
from convscale.nn import Model, save_weights
from convscale.preprocessing import default_preprocessing

SECONDS = 600.0  # after which a process is given up
_SUFFIXES = {engine: suffix for suffix, engine in FILE_ENGINES.items()}


class Measuring:
    """Peaks of a subject's engines, from files that are written once."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder = subject, folder

    def peak(self, engine: Engine) -> int | None:
        """The most bytes that a fresh process holds while it opens the engine and runs a batch; None where it fails."""
        spec = {
            "engine": engine.name, "dtype": engine.dtype, "threads": engine.threads, "file": str(self._file(engine)),
            "shape": self.subject.images.shape, "numbers": self.subject.images.dtype.name,
        }  # fmt: skip
        words = [sys.executable, "-m", "convscale.deploy.one_batch", json.dumps(spec)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return None
        return int(done.stdout.split()[-1]) if done.returncode == 0 else None

    def _file(self, engine: Engine) -> Path:
        """What the process opens: an exported file where the engine runs one, else the weights."""
        if self.subject.file is not None:
            return self.subject.file
        assert self.subject.model is not None
        path = self.folder / f"model{_SUFFIXES.get(engine.name, '.safetensors')}"
        if not path.exists():
            _write(self.subject.model, path)
        return path


def _write(model: Model, path: Path) -> None:
    if path.suffix == ".safetensors":
        network = model.network
        preprocessing = default_preprocessing(network.resolution, network.input_channels)
        classes = tuple(map(str, range(network.num_classes)))
        save_weights(path, model, WeightsHeader(network, preprocessing, classes))
        return
    from convscale.deploy.conversion import write_onnx, write_openvino

    (write_onnx if path.suffix == ".onnx" else write_openvino)(model, path)


@contextmanager
def measuring(subject: Subject) -> Iterator[Measuring]:
    """`Measuring` with a folder for its files, for as long as it is needed."""
    with TemporaryDirectory(prefix="convscale-") as folder:
        yield Measuring(subject, Path(folder))
