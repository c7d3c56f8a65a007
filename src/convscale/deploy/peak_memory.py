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
from convscale.deploy.subjects import Subject
from convscale.headers import WeightsHeader
from convscale.nn import save_weights
from convscale.preprocessing import default_preprocessing

SECONDS = 600.0  # after which a process is given up


class Measuring:
    """Peaks of a subject's engines, from files that are written once."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.weights = subject, folder / "weights.safetensors"

    def peak(self, engine: Engine) -> int | None:
        """The most bytes that a fresh process holds while it opens the engine and runs a batch; None where it fails."""
        spec = {
            "engine": engine.name, "dtype": engine.dtype, "threads": engine.threads,
            "weights": str(self._weights()), "shape": self.subject.images.shape,
        }  # fmt: skip
        words = [sys.executable, "-m", "convscale.deploy.one_batch", json.dumps(spec)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return None
        return int(done.stdout.split()[-1]) if done.returncode == 0 else None

    def _weights(self) -> Path:
        if not self.weights.exists():
            model = self.subject.model
            network = model.network
            preprocessing = default_preprocessing(network.resolution, network.input_channels)
            classes = tuple(map(str, range(network.num_classes)))
            save_weights(self.weights, model, WeightsHeader(network, preprocessing, classes))
        return self.weights


@contextmanager
def measuring(subject: Subject) -> Iterator[Measuring]:
    """`Measuring` with a folder for its files, for as long as it is needed."""
    with TemporaryDirectory(prefix="convscale-") as folder:
        yield Measuring(subject, Path(folder))
