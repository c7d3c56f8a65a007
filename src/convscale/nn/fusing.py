"""Rows of the layer graph to steps: what oneDNN computes in one call is one step, and so is a squeeze.

A row that somebody sees, or that is not as it was built, is a step of its own: its module, called as ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscale.layers import AddLayer, ConvLayer, GlobalPoolLayer, Layer, MultiplyLayer
from convscale.nn.layers import Add, ConvNormAct, GlobalPool, Linear, MaxPool, Multiply, Row, activate
from convscale.nn.packed_convolutions import Product, packed

_FREE = (ConvNormAct, MaxPool, GlobalPool, Multiply, Add, Linear)

IMAGES = -1  # the tensor that the first row is given; others bear the position of the row that they leave


class NetworkRow(NamedTuple):
    """A row of the graph and its module; inputs are positions of rows in the whole network, or `IMAGES`."""

    name: str
    layer: Layer
    module: nn.Module
    inputs: tuple[int, ...]


class Step(NamedTuple):
    """A call that computes the outputs of some rows, `rows` by name, from the tensors `inputs`. It is named as the
    first of them, and writes the tensor `output`; those of `last_uses` are wanted by no later step."""

    name: str
    rows: tuple[str, ...]
    inputs: tuple[int, ...]
    output: int
    run: Callable[..., Tensor]
    last_uses: tuple[int, ...] = ()

    def __call__(self, *tensors: Tensor) -> Tensor:
        """The output, of a tensor for each of `inputs`."""
        return self.run(*tensors)


def fuse(rows: Sequence[NetworkRow]) -> tuple[Step, ...]:
    """The steps that compute `rows`, in the order they run; the last one writes what the last row does."""
    fusion = _Fusion(rows)
    return tuple(fusion.step(group) for group in fusion.groups)


class _Fusion:
    """Which rows share a step, and which tensors may be written over."""

    def __init__(self, rows: Sequence[NetworkRow]) -> None:
        self.rows = rows
        self.users: dict[int, list[int]] = defaultdict(list)
        self.kept = {IMAGES}  # tensors that others than our steps hold
        for position, row in enumerate(rows):
            for tensor in row.inputs:
                self.users[tensor].append(position)
            if not _is_free(row.module):
                self.kept |= {position, *row.inputs}
        self.groups = self._groups()
        runs_at = {position: group[-1] for group in self.groups for position in group}
        self.last_use = {tensor: max(runs_at[user] for user in users) for tensor, users in self.users.items()}

    def _groups(self) -> list[tuple[int, ...]]:
        """The rows of each step. A step runs where its last row stands."""
        groups: list[tuple[int, ...]] = []
        taken: set[int] = set()
        for position in reversed(range(len(self.rows))):
            if position not in taken:
                groups.append(self._group(position))
                taken.update(groups[-1])
        return groups[::-1]

    def _group(self, position: int) -> tuple[int, ...]:
        """The row, and those before it that its step computes too."""
        row = self.rows[position]
        if _is_free(row.module) and isinstance(row.layer, MultiplyLayer):
            return (*self._gate(*row.inputs), position)
        if _is_free(row.module) and isinstance(row.layer, AddLayer):
            addends = [tensor for tensor in row.inputs if self._is_inner(tensor, ConvLayer)]
            addends = [tensor for tensor in addends if self.rows[tensor].layer.activation is None]  # type: ignore[union-attr]
            return (*addends[-1:], position)
        return (position,)

    def _gate(self, features: int, gate: int) -> tuple[int, ...]:
        """Pool, reduce and expand of a squeeze on `features`; nothing where anybody sees one of them."""
        chain = [gate]
        for kind in (ConvLayer, ConvLayer, GlobalPoolLayer):
            if not self._is_inner(chain[0], kind):
                return ()
            chain.insert(0, self.rows[chain[0]].inputs[0])
        return tuple(chain[1:]) if chain[0] == features else ()

    def _is_inner(self, tensor: int, kind: type[Layer]) -> bool:
        """Whether the tensor is of a row of that kind which may join the step of its only user."""
        if tensor == IMAGES or len(self.users[tensor]) > 1:
            return False
        row = self.rows[tensor]
        return isinstance(row.layer, kind) and _is_free(row.module)

    def step(self, group: tuple[int, ...]) -> Step:
        """The step of these rows."""
        rows = [self.rows[position] for position in group]
        inputs = [tensor for row in rows for tensor in row.inputs if tensor not in group]
        if len(group) == 4:
            inputs = inputs[:1]  # pooled and multiplied
        last = group[-1]
        over = [self._may_overwrite(tensor, last) and inputs.count(tensor) == 1 for tensor in inputs]
        last_uses = {tensor for tensor in inputs if self.last_use[tensor] == last}
        run = _run(rows, over)
        return Step(rows[0].name, tuple(row.name for row in rows), tuple(inputs), last, run, tuple(last_uses))

    def _may_overwrite(self, tensor: int, position: int) -> bool:
        return tensor not in self.kept and self.last_use[tensor] == position


def _is_free(module: nn.Module) -> bool:
    """Whether the row is as it was built, its batch norm folded, and nobody sees more of it than its output."""
    if not isinstance(module, Row) or type(module) not in _FREE or module.is_seen():
        return False
    if isinstance(module, ConvNormAct):
        return type(module.conv) is nn.Conv2d and module.norm is None
    return not isinstance(module, Linear) or type(module.linear) is nn.Linear


def _run(rows: list[NetworkRow], over: list[bool]) -> Callable[..., Tensor]:
    """What a step calls; `over` says of each input whether it may be written over."""
    layers, modules = [row.layer for row in rows], [row.module for row in rows]
    if not _is_free(modules[-1]):
        return modules[-1]
    match layers, modules:
        case [ConvLayer() as layer], [ConvNormAct() as convolution]:
            return packed(convolution, layer.in_size)
        case [ConvLayer() as layer, AddLayer()], [ConvNormAct() as convolution, Add() as add]:
            return partial(packed(convolution, layer.in_size).plus, activation=add.activation, overwrite=over[1])
        case _, [_, ConvNormAct() as reduce, ConvNormAct() as expand, Multiply()]:
            return partial(_squeezed, _product(reduce), _product(expand), over[0])
        case _, [Multiply()]:
            return Tensor.mul_ if over[0] else Tensor.mul
        case _, [Add() as add]:
            return partial(_summed, add.activation, over[1])
        case _, [GlobalPool()]:
            return partial(torch.mean, dim=(2, 3), keepdim=True)
        case _, [Linear() as row]:
            return partial(_flat, Product(row.linear.weight, row.linear.bias, row.activation))
    return modules[-1]  # a max pool


def _product(row: ConvNormAct) -> Product:
    return Product(row.conv.weight, row.conv.bias, row.activation)


def _flat(product: Product, x: Tensor) -> Tensor:
    return product(x.flatten(1))


def _squeezed(reduce: Product, expand: Product, overwrite: bool, x: Tensor) -> Tensor:
    gate = expand(reduce(x.mean((2, 3))))[:, :, None, None]
    return x.mul_(gate) if overwrite else x * gate


def _summed(activation: str | None, overwrite: bool, shortcut: Tensor, branch: Tensor) -> Tensor:
    added = branch.add_(shortcut) if overwrite else branch + shortcut
    return activate(added, activation, in_place=True)
