"""The anchor: one small network that never changes, timed around whatever is measured on a machine.

Where it takes longer, so did the machine: times of different hours are divided by it, and a device whose anchor moved
is another device. It is plain PyTorch, so that nothing that is improved elsewhere moves it, and no network of the
catalog, so that nothing is measured against itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import nn

SIDE = 128  # pixels
_ROWS = ((32, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))  # channels, stride; the first is the stem


def anchor_run() -> Callable[[], object]:
    """One pass of the anchor, in float32 on one thread, on the same seeded image whenever it is called.

    3x3 convolution of stride 2, then depthwise 3x3 and 1x1 convolutions with ReLU (MobileNetV1's blocks), 75 M MACs.
    PyTorch's number of threads is afterwards what it was.
    """
    network = _anchor().eval().requires_grad_(False)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.linspace(-1, 1, 3 * SIDE * SIDE).reshape(1, 3, SIDE, SIDE)
    image = image.contiguous(memory_format=torch.channels_last)

    def run() -> object:
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            with torch.inference_mode():
                return network(image)
        finally:
            torch.set_num_threads(threads)

    return run


def _anchor() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(*_layers())
        for layer in network:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


def _layers() -> Iterator[nn.Module]:
    yield from (nn.Conv2d(3, _ROWS[0][0], 3, stride=2, padding=1), nn.ReLU())
    for (before, _), (channels, stride) in pairwise(_ROWS):
        yield from (nn.Conv2d(before, before, 3, stride, padding=1, groups=before), nn.ReLU())
        yield from (nn.Conv2d(before, channels, 1), nn.ReLU())
