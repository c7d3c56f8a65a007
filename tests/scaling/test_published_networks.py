"""Networks as they were published: the figures that their authors printed, and those of timm's networks."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import convscale as cs
from convscale import networks as n
from convscale.catalog import nas_bench_macro
from convscale.errors import ConfigError
from convscale.layers import ConvLayer, resolve
from convscale.schema import from_table, to_table
from tests import peers

DATA = Path(__file__).parents[1] / "fixtures"  # its README names the sources
GRID = list(csv.DictReader((DATA / "mobilenet_grids.csv").read_text().splitlines()))

# MACs that do not follow from the layers; the other rows of the same width and resolution in the same table do.
MISPRINTS = {("mobilenet-v1", "0.75", str(size)) for size in (224, 192, 160, 128)} | {("mobilenet-v1", "0.25", "192")}

# The values a channel of a batch norm that the printed parameters count: V1's table leaves out the scales but counts
# the statistics, V2's counts convolutions and the classifier alone. Ours are two: scale and shift.
NORM_VALUES = {"mobilenet-v1": 3, "mobilenet-v2": 0}


def published(row: dict[str, str]) -> n.ConvNet:
    network = cs.scale(cs.network(row["network"]), cs.Scaling(width=float(row["width"])))
    return network.at_resolution(int(row["resolution"]))


def test_the_grid_is_whole() -> None:
    assert len(GRID) == 38 and len(MISPRINTS & {(r["network"], r["width"], r["resolution"]) for r in GRID}) == 5


@pytest.mark.parametrize("row", GRID, ids=lambda row: "-".join([row["network"], row["width"], row["resolution"]]))
@pytest.mark.parametrize("classes", [1000, 1001])  # the released networks have a background too; no figure shows it
def test_mobilenets_over_width_and_resolution(row: dict[str, str], classes: int) -> None:
    network = published(row).with_classes(classes)
    cost = cs.cost(network)
    layers = [layer for _, layer in resolve(network).layers()]
    norms = sum(layer.out_channels for layer in layers if isinstance(layer, ConvLayer) and layer.norm)
    params = cost.params + (NORM_VALUES[row["network"]] - 2) * norms
    assert f"{params / 1e6:.2f}" == row["params_millions"]
    # V2's are cut to whole millions, V1's rounded, from one decimal: 149.4976 is printed as 150.
    millions = cost.macs / 1e6
    printed = int(millions if row["network"] == "mobilenet-v2" else round(millions, 1) + 0.5)
    key = (row["network"], row["width"], row["resolution"])
    assert (printed == int(row["macs_millions"])) == (key not in MISPRINTS)


@pytest.mark.parametrize(
    ("name", "width", "peer"),
    [
        ("mobilenet-v1", 1.25, "mobilenetv1_125"),
        ("mobilenet-v2", 0.35, "mobilenetv2_035"),
        ("mobilenet-v2", 0.5, "mobilenetv2_050"),
        ("mobilenet-v2", 0.75, "mobilenetv2_075"),
        ("mobilenet-v2", 1.4, "mobilenetv2_140"),
        ("mobilenet-v3-large", 0.75, "tf_mobilenetv3_large_075"),
        ("mobilenet-v3-small", 0.75, "tf_mobilenetv3_small_075"),
        ("mnasnet-a1", 0.5, "semnasnet_050"),
        ("mnasnet-a1", 0.75, "semnasnet_075"),
        ("mnasnet-a1", 1.4, "semnasnet_140"),
        ("mnasnet-b1", 0.5, "mnasnet_050"),
        ("mnasnet-b1", 0.75, "mnasnet_075"),
        ("mnasnet-b1", 1.4, "mnasnet_140"),
    ],
)
def test_scaled_networks_are_timms(name: str, width: float, peer: str) -> None:
    ours = cs.scale(cs.network(name), cs.Scaling(width=width))
    with torch.device("meta"):
        theirs, built = peers.timm().create_model(peer), cs.build(ours)
    peers.copy_weights(theirs, built)  # tensor by tensor
    assert sum(p.numel() for p in theirs.parameters()) == cs.cost(ours).params


@pytest.mark.parametrize(("name", "params"), [("mobilenet-v3-large", 7.5e6), ("mobilenet-v3-small", 3.2e6)])
def test_a_wider_mobilenet_v3_keeps_its_hidden_layer(name: str, params: float) -> None:
    base = cs.network(name)
    wide = cs.scale(base, cs.Scaling(width=1.25))
    assert isinstance(wide.head, n.ConvPoolHidden) and isinstance(base.head, n.ConvPoolHidden)
    assert (wide.head.channels, wide.head.hidden) == (base.head.channels * 1.25, base.head.hidden)
    assert cs.cost(wide).params == pytest.approx(params, rel=0.01)


def test_the_rules_of_a_head() -> None:
    def heads(head: n.Head, *widths: float) -> list[n.Head]:
        base = replace(cs.network("small-mbconv"), head=head)
        return [cs.scale(base, cs.Scaling(width=width)).head for width in widths]

    scaled, kept, grows = n.ConvPool(64), n.ConvPool(64, fixed_width=True), n.ConvPool(64, shrinks=False)
    assert heads(scaled, 0.5, 2) == [n.ConvPool(32), n.ConvPool(128)]
    assert heads(kept, 0.5, 2) == [kept, kept]
    assert heads(grows, 0.5, 0.99, 2) == [grows, grows, n.ConvPool(128)]
    odd = n.ConvPool(60, shrinks=False)  # not a multiple of 8: kept as it is below width 1
    assert heads(odd, 0.5, 1.01) == [odd, n.ConvPool(64)]
    hidden = n.ConvPoolHidden(64, 80, fixed_hidden=True)
    assert heads(hidden, 0.5, 2) == [n.ConvPoolHidden(32, 80), n.ConvPoolHidden(128, 80)]
    assert heads(replace(hidden, fixed_width=True), 0.5) == [hidden]


def test_files_of_before_mean_the_same() -> None:
    table = to_table(cs.network("mobilenet-v2"))
    assert table["head"].pop("shrinks") is False
    before = from_table(n.ConvNet, table)
    assert before == cs.network("mobilenet-v2")  # the same function, whatever becomes of it when scaled
    head = cs.scale(before, cs.Scaling(width=0.5)).head
    assert isinstance(head, n.ConvPool) and head.channels == 640
    fixed = from_table(n.ConvNet, table | {"head": table["head"] | {"fixed_width": True}})
    assert cs.scale(fixed, cs.Scaling(width=0.5)).head == cs.scale(fixed, cs.Scaling(width=2)).head == fixed.head


def test_every_network_of_nas_bench_macro() -> None:
    with np.load(DATA / "nas_bench_macro.npz") as table:
        expected = list(zip(table["params"].tolist(), table["flops"].tolist(), strict=True))
    networks = [nas_bench_macro("".join(digits)) for digits in product("012", repeat=8)]
    costs = [cs.cost(network) for network in networks]
    assert [(cost.params, cost.macs) for cost in costs] == expected
    assert len(set(networks)) == 3969


@pytest.mark.parametrize("choices", ["00000000", "11021220", "02012100", "22222222"])
def test_networks_of_nas_bench_macro_run(choices: str) -> None:
    network = nas_bench_macro(choices)
    assert from_table(n.ConvNet, to_table(network)) == network
    model = cs.build(network, seed=0).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = model.features(images)
        assert model(images).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == cs.cost(network).params
    assert [tuple(f.shape[1:]) for f in features.values()] == [(32, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert all((features[f"stages.{index}"] < 0).any() for index in range(3))  # neither block ends in an activation


@pytest.mark.parametrize("choices", ["", "1102122", "110212200", "1102122x", "3" * 8, 11021220])
def test_what_is_no_network_of_nas_bench_macro(choices: str) -> None:
    with pytest.raises(ConfigError, match="8 digits of 0, 1 and 2"):
        nas_bench_macro(choices)
