"""Costs: golden figures, and agreement with what PyTorch counts and holds."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import convscale as cs
from convscale.catalog import CATALOG
from convscale.costs import block_rows, layer_rows, stage_rows
from convscale.networks import (
    Activation,
    Basic,
    Block,
    Bottleneck,
    Conv,
    ConvNet,
    ConvPool,
    ConvPoolHidden,
    FusedMBConv,
    MBConv,
    Row,
    Separable,
    Squeeze,
    Stage,
    Stem,
)
from tests import peers
from tests.networks.test_networks import networks

GOLDEN: dict[str, dict[str, int]] = json.loads((Path(__file__).parents[1] / "fixtures" / "golden.json").read_text())

# The parameters that the authors released (also torchvision's), and GMACs as worked out from the definitions.
PUBLISHED = {
    "efficientnet-b0": (5_288_548, 0.3858), "efficientnet-b1": (7_794_184, 0.6868),
    "efficientnet-b2": (9_109_994, 0.9936), "efficientnet-b3": (12_233_232, 1.8271),
    "efficientnet-b4": (19_341_616, 4.3938), "efficientnet-b5": (30_389_784, 10.266),
    "efficientnet-b6": (43_040_704, 19.068), "efficientnet-b7": (66_347_960, 37.746),
    "efficientnet-b8": (87_413_142, 62.60), "efficientnet-l2": (480_309_308, 475.7),
    "efficientnet-lite0": (4_652_008, 0.385), "efficientnet-lite1": (5_416_680, 0.600),
    "efficientnet-lite2": (6_092_072, 0.860), "mobilenet-v1": (4_231_976, 0.569),
    "mobilenet-v2": (3_504_872, 0.301), "resnet-50": (25_557_032, 4.089),
}  # fmt: skip
ACTIVATIONS = {
    "efficientnet-b0": 6.75, "efficientnet-b1": 10.88, "efficientnet-b2": 13.83, "efficientnet-b3": 23.83,
    "efficientnet-b4": 49.49, "efficientnet-b5": 98.86, "efficientnet-b6": 167.4, "efficientnet-b7": 289.9,
    "efficientnet-b8": 442.9, "efficientnet-l2": 1707,
}  # fmt: skip


def test_every_catalog_network_has_golden_figures() -> None:
    assert GOLDEN.keys() == CATALOG.keys()


@pytest.mark.parametrize("name", CATALOG)
def test_golden_figures(name: str) -> None:
    cost = cs.cost(cs.network(name))
    assert {key: getattr(cost, key) for key in GOLDEN[name]} == GOLDEN[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_golden_figures_are_the_published_ones(name: str) -> None:
    params, gmacs = PUBLISHED[name]
    assert GOLDEN[name]["params"] == params
    assert GOLDEN[name]["macs"] / 1e9 == pytest.approx(gmacs, abs=0.6 * 10 ** -(3 if gmacs < 10 else 1))
    if name in ACTIVATIONS:
        assert GOLDEN[name]["activations"] / 1e6 == pytest.approx(ACTIVATIONS[name], rel=1e-3)


def counted(module: torch.nn.Module, network: ConvNet) -> tuple[int, FlopCounterMode]:
    """MACs by PyTorch's own counter, on the meta device."""
    size = network.resolution
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, network.input_channels, size, size, device="meta"))
    return counter.get_total_flops() // 2, counter


@pytest.mark.parametrize("name", CATALOG)
def test_the_built_module_counts_the_same(name: str) -> None:
    network = cs.network(name)
    with torch.device("meta"):
        model = cs.build(network)
    cost = cs.cost(network)
    macs, counter = counted(model, network)
    assert (sum(p.numel() for p in model.parameters()), macs) == (cost.params, cost.macs)
    by_module = counter.get_flop_counts()
    for row in layer_rows(network):
        module = model.get_submodule(row.name)
        assert sum(p.numel() for p in module.parameters()) == row.params, row.name
        assert sum(by_module.get(f"Model.{row.name}", {}).values()) == 2 * row.macs, row.name


@pytest.mark.parametrize("name", peers.NAMES)
def test_timm_counts_the_same(name: str) -> None:
    network = cs.network(name)
    with torch.device("meta"):
        other = peers.timm().create_model(peers.NAMES[name])
    macs, _ = counted(other, network)
    assert sum(p.numel() for p in other.parameters()) == GOLDEN[name]["params"]
    assert macs == GOLDEN[name]["macs"]


@pytest.mark.long
@settings(max_examples=25)
@given(networks)
def test_any_network_counts_the_same(network: ConvNet) -> None:
    with torch.device("meta"):
        model = cs.build(network)
    cost = cs.cost(network)
    assert sum(p.numel() for p in model.parameters()) == cost.params
    assert counted(model, network)[0] == cost.macs


def meta(network: ConvNet) -> torch.nn.Module:
    with torch.device("meta"):
        return cs.build(network)


def test_tables_add_up() -> None:
    for name in ("efficientnet-b2", "resnet-50", "mobilenet-v3-large", "regnety-400mf"):
        network = cs.network(name)
        cost = cs.cost(network)
        for rows in (layer_rows(network), block_rows(network), stage_rows(network)):
            assert sum(row.params for row in rows) == cost.params
            assert sum(row.macs for row in rows) == cost.macs
            assert sum(row.activations for row in rows) == cost.activations
            image = 4 * network.input_channels * network.resolution**2
            kept = sum(row.training_memory_bytes_per_image for row in rows)
            assert kept == cost.training_memory_bytes_per_image - (image if network.padding == "symmetric" else 0)
            weights = 4 * sum(t.numel() for t in stored(meta(network)))
            assert max(row.inference_memory_bytes for row in rows) + weights == cost.inference_memory_bytes
        assert len(block_rows(network)) == network.num_blocks + 2
        assert [row.repeats for row in stage_rows(network)[1:-1]] == [stage.repeats for stage in network.stages]


def test_receptive_fields() -> None:
    # ResNet-50 and MobileNetV1 by hand: field += (kernel - 1) * jump, jump *= stride.
    fields = [row.receptive_field for row in stage_rows(cs.network("resnet-50"))]
    assert fields[:5] == [11, 35, 91, 267, 427]
    assert stage_rows(cs.network("mobilenet-v1"))[-2].receptive_field == 315
    deeper = stage_rows(cs.scale(cs.network("efficientnet-b0"), cs.Scaling(depth=2)))
    assert deeper[-1].receptive_field > 851 == stage_rows(cs.network("efficientnet-b0"))[-1].receptive_field


class LiveStorages(TorchDispatchMode):
    """Follows the bytes of storages that are alive, but for those known before."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.now, self.peak = known, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                self._follow(tensor.untyped_storage())
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone() -> None:
            self.known.discard(key)
            self.now -= size

        weakref.finalize(storage, gone)


def stored(model: torch.nn.Module) -> list[torch.Tensor]:
    return [t for name, t in model.state_dict(keep_vars=True).items() if not name.endswith("num_batches_tracked")]


MEASURED = [
    "efficientnet-b0", "efficientnet-lite0", "efficientnetv2-s", "mobilenet-v1", "mobilenet-v2",
    "mobilenet-v3-large", "mnasnet-a1", "resnet-18", "resnet-50", "regnety-400mf", "small-mbconv", "small-resnet",
]  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_inference_memory_is_what_is_alive(name: str) -> None:
    network = cs.network(name)
    assert cs.cost(network).inference_memory_bytes == pytest.approx(alive(network), rel=0.01)


@settings(max_examples=40)
@given(networks)
def test_inference_memory_of_any_network(network: ConvNet) -> None:
    assert cs.cost(network).inference_memory_bytes == pytest.approx(alive(network), rel=0.1)


def alive(network: ConvNet) -> int:
    """Bytes of weights, image and the live tensors of the busiest moment, measured where nobody seems to look on."""
    model = cs.build(network).eval()
    image = torch.zeros(1, network.input_channels, network.resolution, network.resolution)
    weights = stored(model)
    live = LiveStorages({t.untyped_storage()._cdata for t in weights})
    with torch.no_grad(), patch.object(torch._C, "_len_torch_dispatch_stack", lambda: 0), live:
        model(image)
    return sum(t.nbytes for t in weights) + image.nbytes + live.peak


@pytest.mark.parametrize("name", MEASURED)
def test_training_memory_is_what_autograd_saves(name: str) -> None:
    network = cs.network(name)
    assert cs.cost(network).training_memory_bytes_per_image == pytest.approx(saved(network), rel=0.02)


BLOCKS: list[Callable[[Activation], Block]] = [
    lambda name: MBConv(3, 4, name, Squeeze(0.25, activation=name)),
    lambda name: FusedMBConv(3, 4, name),
    lambda name: FusedMBConv(3, 1, name),
    lambda name: Separable(3, name),
    lambda name: Basic(3, name),
    lambda name: Bottleneck(activation=name, squeeze=Squeeze(0.25, activation=name)),
    lambda name: Conv(3, name),
]


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block("none").TYPE)
def test_training_memory_of_every_activation(activation: Activation, block: Callable[[Activation], Block]) -> None:
    base = cs.network("small-mbconv")
    rows = (Row(block(activation), 2),)
    for head in (ConvPool(128, activation), ConvPoolHidden(128, 64, activation)):
        stages = tuple(Stage(channels, 2, rows) for channels in (16, 32))
        network = replace(base, stem=Stem(16, activation=activation), stages=stages, head=head)
        assert cs.cost(network).training_memory_bytes_per_image == pytest.approx(saved(network), rel=0.02)


def saved(network: ConvNet) -> float:
    """Bytes an image that autograd saves for the backward pass of a batch, weights left out; on the meta device, where
    tensors have storages but no values."""
    batch = 2
    model = meta(network).train()
    weights = {storage_of(t) for t in stored(model)}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if storage_of(tensor) not in weights:
            kept[storage_of(tensor)] = tensor
        return tensor

    image = torch.zeros(batch, network.input_channels, network.resolution, network.resolution, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(image)
    assert output.shape == (batch, network.num_classes)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / batch


def storage_of(tensor: torch.Tensor) -> int:
    """Which storage it lies in, as long as that lives."""
    return int(StorageWeakRef(tensor.untyped_storage()).cdata)


def test_fixed_training_memory() -> None:
    network = cs.network("small-mbconv")
    model = cs.build(network)
    params = sum(p.numel() for p in model.parameters())
    buffers = sum(t.numel() for t in stored(model)) - params
    optimizer = torch.optim.RMSprop(model.parameters(), momentum=0.9)
    model(torch.zeros(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    slots = sum(t.numel() for s in optimizer.state.values() for t in s.values() if t.ndim > 0)
    ema = params + buffers
    expected = 4 * (params + buffers + params + slots + ema)
    assert cs.cost(network).training_memory_bytes_fixed == expected


def test_resolution_and_classes_move_the_costs_they_should() -> None:
    b0 = cs.network("efficientnet-b0")
    base, large, few = cs.cost(b0), cs.cost(b0.at_resolution(448)), cs.cost(b0.with_classes(10))
    assert large.params == base.params and large.macs > 3.9 * base.macs
    assert base.params - few.params == 990 * 1281 and base.macs - few.macs == 990 * 1280
