"""What a plan is held against: the baselines, a latency predictor like a device, and what must hold of every plan."""

from __future__ import annotations

import pytest

import convscale as cs
from convscale.catalog import CATALOG
from convscale.costs.blocks import block_cost
from convscale.layers import BlockGraph
from convscale.networks import ConvNet
from convscale.scaling import ScalingLaw

B0 = cs.network("efficientnet-b0")
BASELINES = [name for name in CATALOG if cs.network(name).origin is None]
UNEVEN_LATENCY = "latency_seconds"


class Roofline:
    """A latency predictor like a device: a block computes or moves memory, whichever takes longer, and starts; feature
    maps whose side is no multiple of 4 are slower, so that latency falls from one resolution to the next."""

    def __init__(self, uneven: float = 0.1) -> None:
        self.uneven, self.calls = uneven, 0

    def seconds(self, block: BlockGraph) -> float:
        self.calls += 1
        macs, moved = block_cost(block).macs, block_cost(block).peak
        return (max(macs / 2e10, moved / 5e9) + 2e-5) * (1 + self.uneven * (block.in_size % 4 != 0))


def parts(network: ConvNet) -> list[int]:
    """Channels of stem, stages and head."""
    head = [getattr(network.head, key) for key in ("channels", "hidden") if hasattr(network.head, key)]
    return [network.stem.channels, *(stage.channels for stage in network.stages), *head]


def multipliers(scaling: cs.Scaling | ScalingLaw) -> tuple[float, float, float]:
    return scaling.depth, scaling.width, scaling.resolution


def check(network: ConvNet, planned: cs.Plan) -> None:
    """What must hold of every plan."""
    limits = planned.budget.limits()
    for proposal in (planned.chosen, *planned.alternatives):
        figures = cs.cost(proposal.network).as_dict()
        scaling, made = proposal.scaling, proposal.network
        assert cs.scale(network, scaling) == made
        assert proposal.used == {key: pytest.approx(figures[key] / limit) for key, limit in limits.items()}
        assert max(proposal.used.values()) <= 1
        assert -1e-9 <= proposal.off_law <= 0.1 + 1e-6
        same = (
            [stage.repeats for stage in made.stages] == [stage.repeats for stage in network.stages],
            parts(made) == parts(network),
            made.resolution == network.resolution,
        )
        for times, is_same, kept in zip(multipliers(scaling), same, multipliers(planned.law), strict=True):
            assert (times == 1) == is_same, "a multiplier of 1 builds the baseline's, and no other does"
            assert is_same or f"{times:.3f}" != "1.000"
            assert is_same or kept != 1, "the law leaves this dimension alone"
