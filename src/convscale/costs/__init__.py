"""Costs read off the layer graph: parameters, multiply-adds, activations, file and memory bytes."""

from convscale.costs.latency import LatencyPredictor
from convscale.costs.latency_model import LatencyModel
from convscale.costs.totals import (
    COST_KEYS,
    Cost,
    CostRow,
    block_rows,
    cost,
    graph_cost,
    layer_rows,
    stage_rows,
)

__all__ = [
    "COST_KEYS",
    "Cost",
    "CostRow",
    "LatencyModel",
    "LatencyPredictor",
    "block_rows",
    "cost",
    "graph_cost",
    "layer_rows",
    "stage_rows",
]
