"""Costs of many networks that differ in repeats, channels and resolution: each distinct block is costed once.

The networks that a planner considers share most of their blocks. `BlockCosts` keeps the cost of every block by its
input size, so that the costs of a network are sums of what is known. They equal `cost` to the last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial

from convscale.costs.blocks import BlockCost, block_cost
from convscale.costs.latency import LatencyPredictor, block_seconds
from convscale.costs.totals import total_costs
from convscale.layers import BlockGraph, resolve_block, resolve_head, resolve_stem
from convscale.networks import ConvNet, Row
from convscale.scaling import scale_rows


class _Sizes(dict[int, tuple[BlockCost, int, float]]):
    """One block by its input size: its costs, its output size, and its seconds where a predictor is given."""

    def __init__(self, make: Callable[[int], BlockGraph], predictor: LatencyPredictor | None) -> None:
        super().__init__()
        self.make, self.predictor = make, predictor

    def __missing__(self, size: int) -> tuple[BlockCost, int, float]:
        graph = self.make(size)
        seconds = block_seconds(self.predictor, graph) if self.predictor else 0.0
        found = self[size] = block_cost(graph), graph.out_size, seconds
        return found


class Chain:
    """The blocks of one network at any resolution."""

    def __init__(self, network: ConvNet, runs: list[tuple[_Sizes, int]], rows: int) -> None:
        self.input_channels, self.num_classes = network.input_channels, network.num_classes
        self.runs, self.rows = runs, rows

    def at(self, resolution: int) -> tuple[dict[str, int], float]:
        """Every cost key at an input side in pixels, and the seconds that the predictor gives."""
        size, seconds = resolution, 0.0
        runs = []
        for sizes, count in self.runs:
            item, size, each = sizes[size]
            runs.append((item, count))
            seconds += each * count
        return total_costs(runs, self.input_channels * resolution**2, self.rows, self.num_classes), seconds


@lru_cache(maxsize=4)
def block_costs(baseline: ConvNet) -> BlockCosts:
    """Those of the networks that are scaled from `baseline`, kept from one plan of it to the next."""
    return BlockCosts()


class BlockCosts:
    """Costs of blocks, cached for all networks of one baseline."""

    def __init__(self, predictor: LatencyPredictor | None = None) -> None:
        self.predictor = predictor
        self._sizes: dict[Hashable, _Sizes] = {}
        self._stages: dict[Hashable, list[tuple[_Sizes, int]]] = {}

    def chain(self, network: ConvNet, repeats: Sequence[int] | None = None) -> Chain:
        """The blocks of `network`, with other repeats of its stages if given."""
        padding, channels = network.padding, network.stem.channels
        stem = partial(_stem, network)
        runs = [(self._at((network.stem, network.input_channels, padding), stem), 1)]
        table_rows = 0
        for number, stage in enumerate(network.stages):
            rows = stage.rows if repeats is None else scale_rows(stage.rows, repeats[number])
            table_rows += len(rows)
            stride = stage.stride
            for row in rows:
                runs += self._runs(row, channels, stage.channels, stride, network)
                channels, stride = stage.channels, 1
        head = (network.head, channels, network.num_classes)
        runs.append((self._at(head, partial(_head, network, channels)), 1))
        return Chain(network, runs, table_rows)

    def _runs(
        self, row: Row, in_channels: int, out_channels: int, stride: int, network: ConvNet
    ) -> list[tuple[_Sizes, int]]:
        key = (row, in_channels, out_channels, stride)
        runs = self._stages.get(key)
        if runs is None:
            first = self._block(row, in_channels, out_channels, stride, network)
            rest = self._block(row, out_channels, out_channels, 1, network)
            runs = [(first, row.repeats)] if first is rest else [(first, 1), (rest, row.repeats - 1)][: row.repeats]
            self._stages[key] = runs
        return runs

    def _block(self, row: Row, in_channels: int, out_channels: int, stride: int, network: ConvNet) -> _Sizes:
        def make(size: int) -> BlockGraph:
            return resolve_block(row.block, in_channels, out_channels, stride, size, network.padding)

        return self._at((row.block, in_channels, out_channels, stride), make)

    def _at(self, key: Hashable, make: Callable[[int], BlockGraph]) -> _Sizes:
        found = self._sizes.get(key)
        if found is None:
            found = self._sizes[key] = _Sizes(make, self.predictor)
        return found


def _stem(network: ConvNet, size: int) -> BlockGraph:
    return resolve_stem(network.stem, network.input_channels, size, network.padding)


def _head(network: ConvNet, channels: int, size: int) -> BlockGraph:
    return resolve_head(network.head, channels, size, network.num_classes)
