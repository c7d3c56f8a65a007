"""Scaling: rounding, laws, and properties of `scale`."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convscale as cs
from convscale import networks as n
from convscale.catalog import CATALOG
from convscale.errors import ConfigError, UnknownNameError
from convscale.scaling import (
    LAWS,
    compound_law,
    group_width_edges,
    read_coefficients,
    round_channels,
    round_group_width,
    round_repeats,
    scale,
    width_edge,
)
from tests.networks.test_networks import networks

B0 = cs.network("efficientnet-b0")


def widths(network: n.ConvNet) -> list[int]:
    return [stage.channels for stage in network.stages]


def repeats(network: n.ConvNet) -> list[int]:
    return [stage.repeats for stage in network.stages]


@pytest.mark.parametrize(
    ("member", "stem", "head", "channels", "blocks"),
    [  # stem, head, widths and repeats of the released networks
        ("b1", 32, 1280, [16, 24, 40, 80, 112, 192, 320], [2, 3, 3, 4, 4, 5, 2]),
        ("b2", 32, 1408, [16, 24, 48, 88, 120, 208, 352], [2, 3, 3, 4, 4, 5, 2]),
        ("b3", 40, 1536, [24, 32, 48, 96, 136, 232, 384], [2, 3, 3, 5, 5, 6, 2]),
        ("b4", 48, 1792, [24, 32, 56, 112, 160, 272, 448], [2, 4, 4, 6, 6, 8, 2]),
        ("b5", 48, 2048, [24, 40, 64, 128, 176, 304, 512], [3, 5, 5, 7, 7, 9, 3]),
        ("b6", 56, 2304, [32, 40, 72, 144, 200, 344, 576], [3, 6, 6, 8, 8, 11, 3]),
        ("b7", 64, 2560, [32, 48, 80, 160, 224, 384, 640], [4, 7, 7, 10, 10, 13, 4]),
        ("b8", 72, 2816, [32, 56, 88, 176, 248, 424, 704], [4, 8, 8, 11, 11, 15, 4]),
        ("l2", 136, 5504, [72, 104, 176, 344, 480, 824, 1376], [6, 11, 11, 16, 16, 22, 6]),
    ],
)
def test_published_coefficients_give_the_published_networks(
    member: str, stem: int, head: int, channels: list[int], blocks: list[int]
) -> None:
    net = cs.scale(B0, cs.published(member))
    assert isinstance(net.head, n.ConvPool)
    assert (net.stem.channels, net.head.channels, widths(net), repeats(net)) == (stem, head, channels, blocks)
    assert net == cs.network(f"efficientnet-{member}")


def test_lite_keeps_stem_head_and_the_depth_of_its_ends() -> None:
    net = cs.network("efficientnet-lite4")
    assert isinstance(net.head, n.ConvPool)
    assert (net.stem.channels, net.head.channels, net.resolution) == (32, 1280, 300)
    assert repeats(net) == [1, 4, 4, 6, 6, 8, 1]
    assert widths(net) == [24, 32, 56, 112, 160, 272, 448]


@pytest.mark.parametrize(
    ("phi", "growth"), [(-1, 0.78), (0.5, 1.90), (1, 2.57), (2, 4.69), (3.5, 10.83), (5, 29.5), (6, 52.1), (7, 102.8)]
)
def test_true_growth_of_the_compound_law_is_not_two_to_the_phi(phi: float, growth: float) -> None:
    scaled = cs.scale(B0, cs.compound(phi=phi))
    assert cs.cost(scaled).macs / cs.cost(B0).macs == pytest.approx(growth, rel=0.005)


def test_float_noise_adds_no_repeat() -> None:
    for scaling in (cs.law("uniform")(6), cs.compound(phi=2, alpha=2**0.5), cs.shares_law(1, 2, 2)(5)):
        whole = round(scaling.depth)
        assert scaling.depth != whole and abs(scaling.depth - whole) < 1e-12
        assert repeats(cs.scale(B0, scaling)) == [whole * count for count in repeats(B0)]
    with pytest.raises(ConfigError, match="law becomes one at a phi"):
        cs.scale(B0, compound_law())  # type: ignore[arg-type]


def test_published_is_not_the_formula() -> None:
    assert cs.published("b4") == cs.Scaling(depth=1.8, width=1.4, resolution=380 / 224)
    assert cs.scale(B0, cs.published("b4")) != cs.scale(B0, cs.compound(phi=4))


def test_laws_spend_what_they_say() -> None:
    for name in LAWS:
        law = cs.law(name)
        expected = 1.2 * 1.1**2 * 1.15**2 if name == "compound" else 2
        assert law.macs_growth == pytest.approx(expected), name
        assert law(0) == cs.Scaling()
        assert law(2).depth == pytest.approx(law(1).depth ** 2)
        assert law(-1).width == pytest.approx(1 / law(1).width)
    fast = cs.law("fast")(3)  # pycls d1_w8_g8_r1: d = s^0.1, w = s^0.4, r = s^0.05 with s = 8
    assert fast.depth == pytest.approx(8**0.1) and fast.width == pytest.approx(8**0.4)
    assert fast.resolution == pytest.approx(8**0.05)
    uniform = cs.law("uniform")(3)
    assert (uniform.depth, uniform.width, uniform.resolution) == pytest.approx((2, 2**0.5, 2**0.5))
    assert cs.shares_law(2, 1, 1)(1).depth == pytest.approx(2**0.5)


def test_laws_that_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'compound'"):
        cs.law("compund")
    with pytest.raises(ConfigError, match="takes no alpha"):
        cs.law("depth", alpha=1.2)
    for bad in (0.9, math.nan, math.inf, 11):
        with pytest.raises(ConfigError, match="depth.* not (allowed|a finite number)"):
            compound_law(alpha=bad)
    with pytest.raises(ConfigError, match="scales nothing"):
        compound_law(1, 1, 1)
    for phi in (math.nan, math.inf, -math.inf, 1e6, -1e6):
        with pytest.raises(ConfigError, match="phi"):
            cs.compound(phi=phi)
    with pytest.raises(ConfigError, match="shares"):
        cs.shares_law(-1, 1, 1)
    with pytest.raises(ConfigError, match="shares"):
        cs.shares_law(0, 0, 0)
    with pytest.raises(UnknownNameError, match="allowed: b0"):
        cs.published("b9")


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, 1e4])
def test_multipliers_that_are_refused(bad: float) -> None:
    with pytest.raises(ConfigError, match="width.* not (allowed|a finite number)"):
        cs.Scaling(width=bad)


@pytest.mark.parametrize("name", ["efficientnet-b3", "efficientnet-lite1"])
def test_scaling_a_scaled_network_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"already scaled from efficientnet-(b0|lite0).*scale efficientnet-"):
        cs.scale(cs.network(name), cs.Scaling(depth=2))
    adopted = replace(cs.network(name), origin=None)
    assert cs.scale(adopted, cs.Scaling(depth=2)).num_blocks > adopted.num_blocks


def test_coefficients_from_a_file(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "c.toml").write_text('alpha = 1.3\nbeta = 1.05\ngamma = 1.2\nnote = "mine"\n')
    (folder / "c.json").write_text('{"alpha": 1.3, "beta": 1.05, "gamma": 1.2}')
    assert read_coefficients(folder / "c.toml").law() == read_coefficients(folder / "c.json").law()
    assert read_coefficients(folder / "c.json").law() == compound_law(1.3, 1.05, 1.2)
    (folder / "bad.toml").write_text("alpha = 1.3\nbetta = 1.05\n")
    with pytest.raises(ConfigError, match=r"bad.toml.*betta: unknown key.*did you mean 'beta'"):
        read_coefficients(folder / "bad.toml")


@given(st.floats(0.1, 5000), st.sampled_from([4, 8, 16]), st.sampled_from([0.0, 0.9]))
def test_round_channels(channels: float, divisor: int, floor: float) -> None:
    rounded = round_channels(channels, divisor, floor)
    assert rounded % divisor == 0 and rounded >= divisor and rounded >= floor * channels
    assert rounded - channels <= max(divisor, 0.5 * divisor + 1e-9)
    assert round_channels(rounded, divisor, floor) == rounded
    edge = width_edge(rounded, n.ScalingRules(divisor=divisor, floor=floor))
    assert channels <= edge * (1 + 1e-12)
    assert round_channels(edge * (1 + 1e-9), divisor, floor) == rounded + divisor


@given(st.floats(0.01, 500))
def test_round_repeats(count: float) -> None:
    assert round_repeats(count, "ceil") == max(1, math.ceil(count))
    assert abs(round_repeats(count, "nearest") - max(count, 1)) <= 0.5


multipliers = st.floats(0.3, 4)
baselines = st.sampled_from([name for name in CATALOG if cs.network(name).origin is None]).map(cs.network)


@given(baselines, multipliers, multipliers, multipliers)
def test_scaling_keeps_the_rules(base: n.ConvNet, depth: float, width: float, resolution: float) -> None:
    scaled, divisor = cs.scale(base, cs.Scaling(depth, width, resolution)), base.rules.divisor
    for stage, original in zip(scaled.stages, base.stages, strict=True):
        exact = original.channels * width
        assert stage.channels % divisor == 0 and stage.channels >= base.rules.floor * exact - 1e-9
        assert abs(stage.channels - exact) <= divisor or stage.channels == divisor
        if not original.fixed_depth and base.rules.repeats == "ceil":
            assert stage.repeats == max(1, math.ceil(depth * original.repeats))
        assert stage.stride == original.stride
    assert abs(scaled.resolution - base.resolution * resolution) <= base.rules.resolution_step / 2 or (
        scaled.resolution - base.total_stride < base.rules.resolution_step
    )
    unscaled = depth == width == resolution == 1
    assert scaled.origin == (None if unscaled else n.Origin(base.name, depth, width, resolution))


@given(networks, multipliers, multipliers, multipliers, st.floats(1, 1.5))
def test_scaling_is_monotone_in_each_dimension(
    base: n.ConvNet, depth: float, width: float, resolution: float, more: float
) -> None:
    base = replace(base, origin=None)
    small = cs.scale(base, cs.Scaling(depth, width, resolution))
    assert cs.scale(base, cs.Scaling(depth * more, width, resolution)).num_blocks >= small.num_blocks
    assert cs.scale(base, cs.Scaling(depth, width, resolution * more)).resolution >= small.resolution
    if width != 1 and width * more != 1:  # exactly 1 leaves widths unrounded
        wide = cs.scale(base, cs.Scaling(depth, width * more, resolution))
        assert all(a >= b for a, b in zip(widths(wide), widths(small), strict=True))


@given(networks)
def test_scaling_by_one_is_the_identity(base: n.ConvNet) -> None:
    assert cs.scale(base, cs.Scaling()) is base
    deeper = cs.scale(base, cs.Scaling(depth=2))
    assert widths(deeper) == widths(base) and deeper.resolution == base.resolution


def test_depth_extends_and_shortens_the_last_row() -> None:
    v3 = cs.network("mobilenet-v3-large")  # its fourth stage has rows of 1, 1 and 2 blocks
    rows = [tuple(row.repeats for row in cs.scale(v3, cs.Scaling(depth=d)).stages[3].rows) for d in (0.5, 0.75, 2)]
    assert rows == [(1, 1), (1, 1, 1), (1, 1, 6)]


def test_what_is_no_network_is_not_scaled() -> None:
    with pytest.raises(ConfigError, match="takes a ConvNet, not str"):
        scale("efficientnet-b0", cs.Scaling(width=2))  # type: ignore[arg-type]
    assert cs.scale("efficientnet-b0", cs.Scaling(width=2)) == scale(cs.network("efficientnet-b0"), cs.Scaling(width=2))
    with pytest.raises(UnknownNameError, match="efficientnet-b9"):
        cs.scale("efficientnet-b9", cs.Scaling(width=2))
    with pytest.raises(ConfigError, match="takes a Scaling, not float"):
        cs.scale("efficientnet-b0", 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [  # by pycls's rule, by hand: to whole channels, then 1, 2, 4 and multiples of 8; Python's halves go to even
        (0.2, 1), (1.4, 1), (1.5, 2), (2.3, 2), (2.5, 2), (2.6, 4), (5.4, 4), (5.6, 8), (11.4, 8), (11.9, 16),
        (16, 16), (20, 16), (20.4, 16), (20.6, 24), (27.4, 24), (27.6, 32), (36.4, 32), (36.6, 40), (56, 56),
    ],
)  # fmt: skip
def test_group_widths_round_as_in_pycls(exact: float, rounded: int) -> None:
    assert round_group_width(exact) == rounded


def test_edges_of_group_widths() -> None:
    assert group_width_edges(60) == [1.5, 2.5, 5.5, 11.5, 20.5, 27.5, 36.5, 43.5, 52.5, 59.5]
    for edge in group_width_edges(500):
        assert round_group_width(edge - 1e-9) < round_group_width(edge + 1e-9)


def test_group_widths_scale_and_group_counts_stay() -> None:
    def groups(net: n.ConvNet) -> n.Count | n.Width:
        block = net.stages[0].rows[0].block
        assert isinstance(block, n.Bottleneck)
        return block.groups

    wide = cs.scale(cs.network("regnety-400mf"), cs.Scaling(width=2))
    assert groups(wide) == n.Width(16)
    assert groups(cs.scale(cs.network("resnext-50-32x4d"), cs.Scaling(width=2))) == n.Count(32)
    assert cs.cost(wide).params > 3 * cs.cost(cs.network("regnety-400mf")).params
