"""Devices whose latency is a law that is known: what a profile of them must find."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import convscale as cs
from convscale.costs.steps import StepSize, block_steps
from convscale.deploy.profiling.fitting import fit_errors, fit_model, sample
from convscale.networks import ConvNet
from convscale.records import Environment, Profile, ProfiledNetwork

HERE = Environment(
    system="Linux", machine="x86_64", processor="Planted", flags=(), cores=2, memory_bytes=None, versions={}
)  # fmt: skip
MACS_PER_SECOND = {"pointwise": 60e9, "dense": 80e9, "depthwise": 15e9, "strided depthwise": 10e9}


class Device:
    """A step computes or moves its values, whichever takes longer, and starts; short sums compute at less than the full
    rate. Clocks around steps take a tenth more than the steps undisturbed. Every time is off by `noise`."""

    def __init__(self, noise: float = 0.0, *, timed_steps: bool = True) -> None:
        self.noise, self.timed_steps = noise, timed_steps
        self.generator = random.Random(0)

    def step_seconds(self, step: StepSize) -> float:
        rate = MACS_PER_SECOND.get(step.kind, 40e9) * step.in_channels / (step.in_channels + 20)
        return 4e-6 + max(step.macs / rate, 4 * (step.inputs + step.outputs + step.weights) / 20e9)

    def seconds(self, network: ConvNet) -> float:
        """The truth."""
        return 3e-5 + sum(self._steps(network).values())

    def timed(self, network: ConvNet) -> ProfiledNetwork:
        steps = {name: 1.1 * self._noisy(seconds) for name, seconds in self._steps(network).items()}
        return ProfiledNetwork(network, self._noisy(self.seconds(network)), 1e-3, steps if self.timed_steps else {})

    def _steps(self, network: ConvNet) -> dict[str, float]:
        blocks = cs.resolve(network).blocks()
        return {f"{name}.{s.name}": self.step_seconds(s) for name, block in blocks for s in block_steps(block)}

    def _noisy(self, seconds: float) -> float:
        return seconds * math.exp(self.generator.gauss(0, self.noise))


def profile_of(device: Device, networks: Iterable[ConvNet]) -> Profile:
    """What `convscale profile` would write of it."""
    timed = tuple(device.timed(network) for network in networks)
    samples = [sample(one) for one in timed]
    return Profile(
        engine="packed", dtype="float32", threads=1, batch=1, seed=0, made="2026-01-01T00:00:00+00:00",
        environment=HERE, networks=timed, seconds=60.0, anchor_seconds=1e-3, anchor_spread=0.03,
        fit=fit_errors(samples, 3), model=fit_model(samples),
    )  # fmt: skip
