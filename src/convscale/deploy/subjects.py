"""What is benched: a network with its weights, a batch of images for it, and the name that it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convscale import machine
from convscale.catalog import CATALOG
from convscale.costs import cost
from convscale.deploy.engines.protocol import Floats
from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.nn import Model, build, load
from convscale.openers import network as open_network
from convscale.runs import Run
from convscale.units import format_bytes

Source = ConvNet | Model | str | Path


@dataclass(frozen=True, slots=True)
class Subject:
    """A model in eval mode and `images` (batch, c, h, w), seeded noise as large as preprocessed images are. run: the
    run folder that it came from, where it did."""

    name: str
    model: Model
    images: Floats
    run: Run | None = None


def open_subject(source: Source, batch: int) -> Subject:
    """A network of the catalog or of a TOML file with weights made from seed 0; a run or a weights file with its own.

    Raises as `network` and `load` do, ConfigError where this machine has not the memory for it.
    """
    if isinstance(source, Model):
        model, name, run = source.eval(), source.network.name, None
    else:
        network = open_network(source)
        _require_room(network, batch)
        name = source.name if isinstance(source, ConvNet) else str(source)
        model, run = _with_weights(source, network)
    network = model.network
    shape = (batch, network.input_channels, network.resolution, network.resolution)
    images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return Subject(name, model, images, run)


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
