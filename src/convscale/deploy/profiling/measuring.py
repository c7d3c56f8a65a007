"""How long a network takes in an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convscale.deploy.engines import Dtype, Engine, open_engine
from convscale.deploy.engines.protocol import Floats
from convscale.deploy.timing import Timing, interleaved
from convscale.networks import ConvNet

if TYPE_CHECKING:
    from convscale.nn import Model

SECONDS = 0.4  # for which a network is timed


def time_network(engine: Engine, network: ConvNet, *, seconds: float = SECONDS, tries: int = 1) -> Timing:
    """The times of one image at a time in an engine that runs `network`."""
    images = some_images(network)
    calls = {network.name: lambda: engine(images)}
    return interleaved(calls, seconds=seconds, threads=engine.threads, tries=tries)[network.name]


def opened(network: ConvNet, engine: str, threads: int, dtype: Dtype) -> tuple[Model, Engine]:
    """A network with random weights, and an engine that runs it. Raises as `open_engine`."""
    from convscale.nn import build

    model = build(network, seed=0).eval()
    return model, open_engine(engine, model, threads=threads, dtype=dtype)


def some_images(network: ConvNet) -> Floats:
    """One seeded image of noise: latency does not depend on what is on it."""
    shape = (1, network.input_channels, network.resolution, network.resolution)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
