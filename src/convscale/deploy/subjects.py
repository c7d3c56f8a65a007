"""What is benched: a network with its weights, a batch of images for it, and the name that it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscale import machine
from convscale.catalog import CATALOG
from convscale.costs import cost
from convscale.deploy.engines import Dtype, Engine, has_engine, open_engine, open_file
from convscale.deploy.engines.exported import FILE_ENGINES
from convscale.errors import ConfigError, RunError
from convscale.headers import header_from
from convscale.networks import ConvNet
from convscale.nn import Model, build, load
from convscale.openers import network as open_network
from convscale.preprocessing import Preprocessing, default_preprocessing
from convscale.runs import Run
from convscale.units import format_bytes

Source = ConvNet | Model | str | Path


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network in memory (`model`, in eval mode) or in an exported `file`, and `images` (batch, c, h, w) for it, of
    seeded noise. run: the run folder that it came from, where it did."""

    name: str
    network: ConvNet
    preprocessing: Preprocessing
    images: NDArray[Any]
    model: Model | None = None
    file: Path | None = None
    run: Run | None = None

    def open(self, engine: str, threads: int, dtype: Dtype | None) -> Engine:
        """It in an engine; no dtype stands for its own. Raises as `open_engine` and `open_file`, ConfigError for an
        exported file and another engine than that of its format."""
        if self.file is None:
            assert self.model is not None
            return open_engine(engine, self.model, threads=threads, dtype=dtype or "float32")
        if engine != self.own_engine:
            raise ConfigError(f"{self.file}: an exported file runs in {self.own_engine} alone, not in {engine}")
        return open_file(self.file, threads=threads, dtype=dtype)

    @property
    def own_engine(self) -> str:
        """The engine that it runs in where none is named."""
        return "eager" if self.file is None else FILE_ENGINES[self.file.suffix]


def open_subject(source: Source, batch: int) -> Subject:
    """A network of the catalog or of a TOML file with weights made from seed 0; a run or a weights file with its own;
    an exported file as it is.

    Raises as `network`, `load` and `open_file` do, RunError for an exported file that does not say what it takes,
    ConfigError where this machine has not the memory.
    """
    if isinstance(source, str | Path) and has_engine(source):
        return _exported(Path(source), batch)
    if isinstance(source, Model):
        model, name, run = source.eval(), source.network.name, None
    else:
        network = open_network(source)
        _require_room(network, batch)
        name = source.name if isinstance(source, ConvNet) else str(source)
        model, run = _with_weights(source, network)
    network = model.network
    preprocessing = model.preprocessing or default_preprocessing(network.resolution, network.input_channels)
    images = _noise(batch, network.input_channels, network.resolution)
    return Subject(name, network, preprocessing, images, model=model, run=run)


def _exported(path: Path, batch: int) -> Subject:
    engine = open_file(path)
    if "network" not in engine.metadata:
        raise RunError(f"{path}: it does not say what it takes", hint="write it with convscale export")
    header = header_from(engine.metadata, path)
    _require_room(header.network, batch)
    images = _noise(batch, header.network.input_channels, header.preprocessing.size)
    if engine.takes_pixels:
        images = (255 * (images > 0)).astype(np.uint8)
    return Subject(str(path), header.network, header.preprocessing, images, file=path)


def _noise(batch: int, channels: int, side: int) -> NDArray[Any]:
    return np.random.default_rng(0).standard_normal((batch, channels, side, side), dtype=np.float32)


def _with_weights(source: ConvNet | str | Path, network: ConvNet) -> tuple[Model, Run | None]:
    if not isinstance(source, ConvNet) and str(source) not in CATALOG:
        path = Path(source)
        if path.is_dir():
            return load(path), Run(path)
        if path.suffix == ".safetensors":
            return load(path), None
    return build(network, seed=0).eval(), None


def _require_room(network: ConvNet, batch: int) -> None:
    """Raise ConfigError where not even one engine has room for the network's weights and a batch's live tensors."""
    costs, free = cost(network), machine.memory_available_bytes()
    live = costs.inference_memory_bytes - 4 * costs.params
    needed = 8 * costs.params + batch * live  # the model's weights, and an engine's
    if free is not None and needed > free:
        raise ConfigError(
            f"{network.name} at {network.resolution} px takes about {format_bytes(needed)} for "
            f"{'an image' if batch == 1 else f'{batch:,} images'} at once, {format_bytes(free)} are free",
            hint="a smaller batch, network or resolution",
        )
