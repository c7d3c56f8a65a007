"""lower: a model to the steps that compute it on a CPU, fused, with weights that lie as the processor wants them.

What is computed, and from what, is said by the layer graph; the weights are the model's. Evaluation, features and the
engine `packed` run the steps, and a profile times them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscale.layers import resolve
from convscale.networks import ConvNet
from convscale.nn.folding import folded
from convscale.nn.fusing import IMAGES, NetworkRow, Step, fuse
from convscale.nn.model import BlockModule, Model
from convscale.nn.observers import has_hooks, is_eager
from convscale.nn.packed_convolutions import has_onednn


class StepTime(NamedTuple):
    """What a step took: its name, the rows of the layer graph that it computes, seconds."""

    name: str
    rows: tuple[str, ...]
    seconds: float


def lower(model: Model, dtype: torch.dtype = torch.float32) -> Lowered:
    """What computes the logits of `model` in eval mode, without gradients: on a CPU the steps of its layer graph, each
    a convolution with its activation and the sum after it, a squeeze, a pool or a linear layer.

    The weights are copied now: what the model learns afterwards is not in it, and has to be lowered again. `dtype`
    bfloat16 rounds them once they are folded. A layer that somebody has a hook on, or has put in the place of ours, is
    called as it is. On a GPU, where PyTorch has no oneDNN or this processor no bfloat16, and where somebody sees a
    whole block, stage or the model, the one step is the folded network.
    """
    plain = folded(model, dtype)
    rows = _rows(plain) if _is_packable(plain) else None
    if rows is not None:
        return Lowered(model.network, next(plain.parameters()).dtype, fuse(rows))
    names = tuple(name for name, _ in resolve(model.network).layers())
    step = Step("network", names, (IMAGES,), len(names) - 1, plain, (IMAGES,))
    return Lowered(model.network, next(plain.parameters()).dtype, (step,), plain)


class Lowered:
    """A network as `steps`. Calling it from several threads is fine; compiling, tracing or exporting it is not: that is
    what `folded` is for.

    Images are (n, input_channels, h, w) of any size on the model's device, normalised; what it gives is float32.
    """

    def __init__(
        self, network: ConvNet, dtype: torch.dtype, steps: tuple[Step, ...], plain: Model | None = None
    ) -> None:
        self.network, self.dtype, self.steps = network, dtype, steps
        self._plain = plain

    def __repr__(self) -> str:
        return f"Lowered {self.network.name}: {len(self.steps)} steps, {str(self.dtype).removeprefix('torch.')}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(n, input_channels, h, w) -> logits (n, num_classes)."""
        return self._run(images, self.steps)

    @torch.no_grad()
    def pooled(self, images: Tensor) -> Tensor:
        """What `Model.pooled` gives: (n, input_channels, h, w) -> (n, channels)."""
        if self._plain is not None:
            return self._plain.pooled(images.to(self.dtype)).float()
        return self._run(images, self._until("head.pool"))

    @torch.no_grad()
    def classified(self, images: Tensor) -> Tensor:
        """What `Model.classified` gives: (n, input_channels, h, w) -> (n, features)."""
        if self._plain is not None:
            return self._plain.classified(images.to(self.dtype)).float()
        return self._run(images, self.steps[:-1])

    @torch.no_grad()
    def timed(self, images: Tensor) -> tuple[StepTime, ...]:
        """The time of each step in one run on `images`."""
        clock = [time.perf_counter()]
        self._run(images, self.steps, clock)
        return tuple(
            StepTime(step.name, step.rows, ended - started)
            for step, started, ended in zip(self.steps, clock, clock[1:], strict=False)
        )

    def _until(self, row: str) -> tuple[Step, ...]:
        """The steps up to the one of that row."""
        position = next(index for index, step in enumerate(self.steps) if row in step.rows)
        return self.steps[: position + 1]

    def _run(self, images: Tensor, steps: Sequence[Step], clock: list[float] | None = None) -> Tensor:
        """What the last of `steps` writes, as (n, features). A tensor is released after its last use; `clock` is given
        the time after each step."""
        tensors = {IMAGES: images.to(self.dtype)}
        for step in steps:
            tensors[step.output] = step.run(*[tensors[position] for position in step.inputs])
            for position in step.last_uses:
                del tensors[position]
            if clock is not None:
                clock.append(time.perf_counter())
        return tensors[steps[-1].output].flatten(1).float()


def _is_packable(model: Model) -> bool:
    """Whether oneDNN computes what the model holds: plain weights of one kind, in memory that it can read."""
    weights = [parameter.detach() for parameter in model.parameters()]
    kinds = {(weight.device.type, weight.dtype) for weight in weights}
    return (
        len(kinds) == 1
        and weights[0].device.type == "cpu"
        and has_onednn(weights[0].dtype)
        and all(map(is_eager, weights))
    )


def _rows(model: Model) -> list[NetworkRow] | None:
    """The rows of the network with their modules; None where somebody sees more of it, or put it together anew."""
    blocks = [model.stem, *(block for stage in model.stages for block in stage.children()), model.head]
    graph = list(resolve(model.network).blocks())
    seen = any(map(has_hooks, (model, *model.stages, *blocks)))
    if seen or len(blocks) != len(graph) or any(type(stage) is not nn.Sequential for stage in model.stages):
        return None
    rows: list[NetworkRow] = []
    for (name, block), module in zip(graph, blocks, strict=True):
        modules = dict(module.named_children())
        if type(module) is not BlockModule or list(modules) != [layer.name for layer in block.layers]:
            return None
        first = len(rows)  # what the block is given is what the row before it leaves
        for layer in block.layers:
            inputs = tuple(first + position for position in layer.inputs)
            rows.append(NetworkRow(f"{name}.{layer.name}", layer, modules[layer.name], inputs))
    return rows
