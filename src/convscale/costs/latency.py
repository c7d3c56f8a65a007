"""Latency as the planner asks for it: seconds of one block, which add up to those of a network."""

from __future__ import annotations

import math
from numbers import Real
from typing import Protocol

from convscale.errors import BudgetError
from convscale.layers import BlockGraph, LayerGraph


class LatencyPredictor(Protocol):
    """Anything that predicts how long a block takes on a device, given its shapes and sizes. Batch, threads and device
    are the predictor's own."""

    def seconds(self, block: BlockGraph) -> float:
        """The seconds of one stem, block or head; any real number, 0 or more."""
        ...


def predicted_seconds(predictor: LatencyPredictor, graph: LayerGraph) -> float:
    """The seconds of a network: the sum over its blocks. Raises BudgetError for invalid figures."""
    return sum(block_seconds(predictor, block) for _, block in graph.blocks())


def block_seconds(predictor: LatencyPredictor, block: BlockGraph) -> float:
    """The seconds of a block as a float. Raises BudgetError for anything but a number, 0 or more."""
    seconds = predictor.seconds(block)
    if not isinstance(seconds, Real) or not 0 <= seconds < math.inf:
        raise BudgetError(
            f"the latency predictor returned {seconds!r} for a block of kind {block.kind}, {block.in_size} px",
            hint="it must return seconds, 0 or more",
        )
    return float(seconds)
