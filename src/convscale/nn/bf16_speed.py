"""How much faster a CPU trains and evaluates a network in bfloat16 than in float32, measured: with the instructions for
it ResNets gain, and networks of depthwise convolutions may lose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from convscale.costs import cost
from convscale.networks import ConvNet
from convscale.nn.device import UsedPrecision, autocast, to_device
from convscale.nn.lowering import lower
from convscale.nn.model import build

ROUNDS = 4  # the first of which warms up
MEASURED_MACS = 3e9  # of a forward pass, about: more images say no more
FEWEST_IMAGES = 8
CPU = torch.device("cpu")


class Speedups(NamedTuple):
    """Images per second in bfloat16, divided by those in float32."""

    training: float
    evaluation: float


def bf16_speedups(network: ConvNet, batch: int) -> Speedups:
    """Of steps on up to `batch` images, and of evaluations of as many. Takes some seconds and leaves random states as
    they are."""
    images = min(batch, max(FEWEST_IMAGES, int(MEASURED_MACS / cost(network).macs)))
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(images, network.input_channels, network.resolution, network.resolution, generator=generator)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(images, dtype=torch.int64)
    model = to_device(build(network, seed=0), CPU)

    def step(precision: UsedPrecision) -> None:
        model.zero_grad()
        with autocast(CPU, precision):
            loss = F.cross_entropy(model(pixels).float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    training = _speedup(lambda: step("fp32"), lambda: step("bf16"))
    full, half = lower(model), lower(model, torch.bfloat16)
    with torch.inference_mode():
        return Speedups(training, _speedup(lambda: full(pixels), lambda: half(pixels)))


def _speedup(fp32: Callable[[], object], bf16: Callable[[], object]) -> float:
    """By the least processor time of a few rounds each, on which other processes have little influence."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for action, found in zip((fp32, bf16), seconds, strict=True):
            started = time.process_time()
            action()
            found.append(time.process_time() - started)
    return min(seconds[0][1:]) / max(min(seconds[1][1:]), 1e-9)
