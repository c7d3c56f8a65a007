"""What exporters are given: the folded module, an input to follow through it, and a quiet place to work in."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from convscale.data.loader import Normalise
from convscale.nn import Model, folded
from convscale.preprocessing import Preprocessing

IMAGES, PIXELS, LOGITS = "images", "pixels", "logits"  # the names of inputs and of the output
TALKATIVE = ("torch.onnx", "torch.export", "onnxscript", "nncf", "root")


class Plain(NamedTuple):
    """A module in eval mode on the CPU, the name of its input, and an example of that: (2, c, h, w).

    The example's two images stand for any number of them: exporters take one for a constant.
    """

    module: nn.Module
    input_name: str
    example: Tensor


class FromPixels(nn.Module):
    """The network, on uint8 pixels that are already resized and cropped, (n, c, h, w) with values 0 to 255."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        normalise = Normalise(preprocessing, torch.device("cpu"))
        self.register_buffer("scale", normalise.scale)
        self.register_buffer("shift", normalise.shift)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, c, h, w) uint8 -> logits (n, num_classes)."""
        logits: Tensor = self.network(pixels.to(torch.float32) * self.scale + self.shift)
        return logits


def plain(model: Model, preprocessing: Preprocessing | None = None, side: int | None = None) -> Plain:
    """What exporters get of `model`, for images of `side` pixels, by default its network's resolution; with
    `preprocessing` it takes pixels, as many as that says.

    It does not depend on the mode of the caller or of the model: exported with gradients on, a module keeps the forms
    of its training.
    """
    network = model.network
    side = (side or network.resolution) if preprocessing is None else preprocessing.size
    shape = (2, network.input_channels, side, side)
    module: nn.Module = folded(model).cpu()
    if preprocessing is None:
        return Plain(module, IMAGES, torch.zeros(shape))
    return Plain(FromPixels(module, preprocessing).eval(), PIXELS, torch.zeros(shape, dtype=torch.uint8))


@contextmanager
def exporting() -> Iterator[None]:
    """No gradients, whatever the caller records, and none of what exporters say about their own parts."""
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def exported_program(given: Plain, max_batch: int) -> ExportedProgram:
    """The module as torch.export has it, for 1 to `max_batch` images."""
    batch = torch.export.Dim("batch", min=1, max=max_batch)
    with exporting():
        return torch.export.export(given.module, (given.example,), dynamic_shapes=({0: batch},))
