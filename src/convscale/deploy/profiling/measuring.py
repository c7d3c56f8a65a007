"""How long a network takes in an engine, and its steps where the engine tells."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from convscale.deploy.engines import Dtype, Engine, open_engine
from convscale.deploy.engines.protocol import Floats
from convscale.deploy.timing import Timing, interleaved
from convscale.networks import ConvNet

SECONDS = 0.4  # for which a network is timed, and again for which its steps are
MOST_RUNS = 40
LEAST_RUNS = 8


def time_network(engine: Engine, network: ConvNet, *, seconds: float = SECONDS, tries: int = 1) -> Timing:
    """The times of one image at a time in an engine that runs `network`."""
    images = some_images(network)
    calls = {network.name: lambda: engine(images)}
    return interleaved(calls, seconds=seconds, threads=engine.threads, tries=tries)[network.name]


def opened(network: ConvNet, engine: str, threads: int, dtype: Dtype) -> Engine:
    """An engine that runs a network, with random weights. Raises as `open_engine`."""
    from convscale.nn import build

    return open_engine(engine, build(network, seed=0).eval(), threads=threads, dtype=dtype)


def some_images(network: ConvNet) -> Floats:
    """One seeded image of noise: latency does not depend on what is on it."""
    shape = (1, network.input_channels, network.resolution, network.resolution)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def time_steps(engine: Engine, network: ConvNet, *, seconds: float = SECONDS) -> dict[str, float]:
    """Seconds of the steps of an engine that runs `network`, each by the name of the first layer that it computes;
    nothing where the engine does not tell."""
    find = STEP_TIMES.get(engine.name)
    return {} if find is None else find(engine, some_images(network), seconds)


def _packed(engine: Engine, images: Floats, seconds: float) -> dict[str, float]:
    """A clock around each step, in as many runs as fit into `seconds`."""
    import torch

    from convscale.deploy.engines.eager import as_input
    from convscale.deploy.engines.packed import PackedEngine
    from convscale.deploy.engines.torch_threads import torch_threads

    assert isinstance(engine, PackedEngine)
    runs: dict[str, list[float]] = defaultdict(list)
    with torch_threads(engine.threads), torch.inference_mode():
        given = as_input(images)
        started = time.perf_counter()
        for run in range(MOST_RUNS):
            for step in engine.lowered.timed(given):
                runs[step.rows[0]].append(step.seconds)
            if run + 1 >= LEAST_RUNS and time.perf_counter() - started > seconds:
                break
    return {name: undisturbed(times) for name, times in runs.items()}


def undisturbed(times: list[float]) -> float:
    """The lower quartile: whatever else a machine does makes steps longer, never shorter."""
    return sorted(times)[len(times) // 4]


# Engine -> how the times of its steps are found.
STEP_TIMES: Mapping[str, Callable[[Engine, Floats, float], dict[str, float]]] = {"packed": _packed}
