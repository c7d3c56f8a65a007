"""torch.compile sees one graph in networks of every family, while they are trained and while they are run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import convscale as cs
from convscale.networks import Stage

FAMILIES = [
    "efficientnet-b0", "efficientnet-lite0", "mobilenet-v1", "mobilenet-v2", "mobilenet-v3-small", "mnasnet-a1",
    "mnasnet-b1", "resnet-18", "resnet-50", "resnext-50-32x4d", "efficientnetv2-s", "regnety-400mf",
]  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_one_graph(name: str, training: bool) -> None:
    """Of a first and a last stage, which pads unequally: `fullgraph` raises an error for a break. No code is made."""
    network = cs.network(name)
    stages = network.stages[1], network.stages[-1]
    network = replace(network, stages=tuple(map(with_few_blocks, stages)), resolution=32, padding="same")
    model = cs.build(network.with_classes(5), drop_path=0.1, seed=0).train(training)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.set_grad_enabled(training):
        logits = compiled(images)
    if training:
        logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    else:
        with torch.no_grad():
            torch.testing.assert_close(logits, model(images))


def with_few_blocks(stage: Stage) -> Stage:
    """Of the stage's first kind, two."""
    return replace(stage, rows=(replace(stage.rows[0], repeats=2),))
