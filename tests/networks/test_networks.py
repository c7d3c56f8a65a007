"""Networks as tables: what is refused, what is equal, and round trips through TOML."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convscale as cs
from convscale import networks as n
from convscale.catalog import CATALOG, read_network, source, write_network
from convscale.errors import ConfigError, UnknownNameError
from convscale.files import format_toml
from convscale.schema import from_table, to_table


@pytest.mark.parametrize("name", CATALOG)
def test_every_catalog_network_travels_as_toml(name: str, tmp_path: Path) -> None:
    network = cs.network(name)
    write_network(network, tmp_path / "net.toml")
    back = read_network(tmp_path / "net.toml")
    assert back == network and hash(back) == hash(network)
    assert to_table(back) == to_table(network)  # the name and the rules of scaling too
    assert cs.network(tmp_path / "net.toml") == network
    assert source(name).endswith(".") and len(source(name)) > 20


def test_the_table_reads_like_the_papers() -> None:
    text = format_toml(to_table(cs.network("efficientnet-b0")))
    row = '{type = "mbconv", kernel = 5, expansion = 6, squeeze = {ratio = 0.25}, repeats = 4}'
    assert row in text and "channels = 192\nstride = 2" in text


def test_name_rules_and_origin_take_no_part_in_equality() -> None:
    b0 = cs.network("efficientnet-b0")
    other = replace(b0, name="mine", rules=n.ScalingRules(divisor=4), origin=n.Origin("x", 1, 1, 1))
    assert other == b0 and hash(other) == hash(b0)
    fixed = replace(b0, stem=replace(b0.stem, fixed_width=True), head=replace(b0.head, shrinks=False))
    assert fixed == b0 and hash(fixed) == hash(b0)
    for change in ({"resolution": 225}, {"padding": "symmetric"}, {"norm_eps": 1e-5}, {"num_classes": 10}):
        assert replace(b0, **change) != b0


B0 = to_table(cs.network("efficientnet-b0"))


def _changed(**changes: Any) -> dict[str, Any]:
    return B0 | changes


def _stage(**changes: Any) -> dict[str, Any]:
    return _changed(stages=[B0["stages"][0] | changes])


def _row(**changes: Any) -> dict[str, Any]:
    return _stage(rows=[B0["stages"][0]["rows"][0] | changes])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (_stage(stride=3), r"stages\[0\]: stride 3 is not allowed.*allowed: 1, 2"),
        (_row(kernel=4), r"stages\[0\]\.rows\[0\]: kernel 4 is not allowed.*odd"),
        (_row(kernel=0), "kernel 0"),
        (_row(repeats=0), "repeats 0 is not allowed"),
        (_row(repeats=20_000), "repeats 20000 is not allowed"),
        (_row(expansion=-1), "expansion -1"),
        (_row(expansion=float("nan")), "nan is not a finite number"),
        (_row(squeeze={"ratio": 1.5}), "squeeze ratio 1.5 is not allowed"),
        (_row(squeeze={"ratio": 0}), "squeeze ratio 0"),
        (_row(activation="tanh"), "activation: 'tanh' is not allowed.*relu"),
        (_row(type="mbconf"), "unknown 'mbconf'.*did you mean 'mbconv'"),
        (_row(kernal=3), "kernal: unknown key.*did you mean 'kernel'"),
        (_stage(channels=0), "channels 0"),
        (_stage(rows=[]), "at least one row"),
        (_changed(stages=[]), "at least one stage"),
        (_changed(resolution=31), "resolution 31 is not allowed for a total stride of 32"),
        (_changed(resolution=10**6), "resolution 1000000"),
        (_changed(num_classes=0), "num_classes 0"),
        (_changed(input_channels=0), "input_channels 0"),
        (_changed(norm_eps=-1.0), "norm_eps -1.0"),
        (_changed(padding="valid"), "padding: 'valid' is not allowed"),
        (_changed(name=" "), "name is empty"),
        (_changed(resolutoin=224), "resolutoin: unknown key.*did you mean 'resolution'"),
        (_changed(rules={"divisor": 0}), "divisor 0"),
        (_changed(rules={"floor": 1.1}), "floor 1.1"),
        (_changed(rules={"repeats": "floor"}), "repeats: 'floor' is not allowed"),
        (_changed(rules={"resolution_step": 0}), "resolution_step 0"),
        (_changed(head={"type": "conv-pool"}), "head.channels: missing"),
        (_changed(head={"type": "fc"}), "head.type: unknown 'fc'"),
        (_row(type="fused-mbconv", expansion=1), "cannot have a squeeze"),
        (_row(type="bottleneck", expansion=1), "expansion: unknown key"),
    ],
)
def test_a_contradictory_table_is_refused(table: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(n.ConvNet, table)
    path = tmp_path / "net.toml"
    path.write_text(format_toml(table))
    with pytest.raises(ConfigError, match="net.toml"):
        cs.network(path)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'efficientnet-b0'"):
        cs.network("efficientnetb0")
    with pytest.raises(UnknownNameError, match="convscale list"):
        cs.network("zebra")


def test_describe() -> None:
    b = n.describe_block
    assert b(n.MBConv(5, 6, squeeze=n.Squeeze(0.25))) == "MBConv6, k5x5, SE"
    assert b(n.Bottleneck(groups=n.Count(32))) == "Bottleneck, 32 groups, k3x3"
    assert b(n.Bottleneck(groups=n.Width(8))) == "Bottleneck, groups of 8, k3x3"
    assert [b(n.Separable(3)), b(n.Basic()), b(n.Conv()), b(n.FusedMBConv(3, 4))] == [
        "Separable, k3x3", "Basic, k3x3", "Conv, k3x3", "Fused-MBConv4, k3x3",
    ]  # fmt: skip
    assert b(n.Conv(1, activation="none")) == "Conv, k1x1, linear"
    v3 = cs.network("mobilenet-v3-small")
    assert n.describe_head(v3) == "Conv1x1 576 & Pool & FC 1024 & FC"
    assert n.describe_stem(cs.network("resnet-50")) == "Conv, k7x7 & MaxPool"
    assert n.describe_head(cs.network("resnet-50")) == "Pool & FC"


squeezes = st.none() | st.builds(
    n.Squeeze,
    st.floats(0.01, 1),
    of=st.sampled_from(["input", "expanded"]),
    activation=st.sampled_from(["relu", "silu", "gelu", "none"]),
    gate=st.sampled_from(["sigmoid", "hard_sigmoid"]),
    round_to=st.sampled_from([1, 4, 8]),
)
kernels = st.sampled_from([1, 3, 5, 7])
activations = st.sampled_from(get_args(n.Activation))
blocks = st.one_of(
    st.builds(n.MBConv, kernels, st.sampled_from([1, 2.5, 4, 6]), activations, squeezes, st.booleans()),
    st.builds(n.FusedMBConv, kernels, st.sampled_from([2, 4]), activations, squeezes, st.booleans()),
    st.builds(n.FusedMBConv, kernels, st.just(1), activations),
    st.builds(n.Separable, kernels, activations),
    st.builds(n.Basic, kernels, activations, squeezes),
    st.builds(
        n.Bottleneck,
        kernels,
        st.sampled_from([0.25, 0.5, 1.0]),
        st.builds(n.Count, st.sampled_from([1, 4])) | st.builds(n.Width, st.sampled_from([1, 8, 24])),
        activations,
        squeezes,
    ),
    st.builds(n.Conv, kernels, activations),
)
stages = st.builds(
    n.Stage,
    st.integers(1, 12).map(lambda k: 8 * k),
    st.sampled_from([1, 2]),
    st.lists(st.builds(n.Row, blocks, st.integers(1, 3)), min_size=1, max_size=2).map(tuple),
    st.booleans(),
    st.booleans(),
)
networks = st.builds(
    n.ConvNet,
    st.text(min_size=1).filter(str.strip),
    st.integers(32, 64),
    st.builds(n.Stem, st.sampled_from([8, 16]), kernels, st.sampled_from([1, 2]), activations, st.booleans()),
    st.lists(stages, min_size=1, max_size=3).map(tuple),
    st.one_of(
        st.just(n.Pool()),
        st.builds(n.ConvPool, st.sampled_from([32, 36]), activations, st.booleans(), st.booleans()),
        st.builds(n.ConvPoolHidden, st.just(32), st.just(24), activations, st.booleans(), st.booleans()),
    ),
    num_classes=st.integers(1, 20),
    input_channels=st.sampled_from([1, 3]),
    padding=st.sampled_from(["same", "symmetric"]),
    norm_eps=st.sampled_from([1e-3, 1e-5]),
    rules=st.builds(n.ScalingRules, st.sampled_from([4, 8]), st.sampled_from([0.0, 0.9]),
                    st.sampled_from(["ceil", "nearest"]), st.sampled_from([1, 4])),
)  # fmt: skip


@given(networks)
def test_any_network_travels_as_toml(network: n.ConvNet) -> None:
    table = to_table(network)
    assert from_table(n.ConvNet, table) == network
    back = from_table(n.ConvNet, tomllib.loads(format_toml(table)))
    assert back == network and back.name == network.name and to_table(back) == table
