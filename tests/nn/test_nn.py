"""Modules: the graph's rows in order, timm's logits with timm's weights, and behaviour."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import convscale as cs
from convscale.errors import ConfigError
from convscale.layers import AddLayer, ConvLayer, GlobalPoolLayer, LinearLayer, MaxPoolLayer, MultiplyLayer, resolve
from convscale.networks import Activation, ConvNet, ConvPoolHidden, Stem
from convscale.nn import SyncBatchNorm
from convscale.nn.folding import folded
from convscale.nn.layers import Add, ConvNormAct, GlobalPool, Linear, MaxPool, Multiply, activate
from tests import peers
from tests.networks.test_networks import networks

MODULES = {
    ConvLayer: ConvNormAct,
    MaxPoolLayer: MaxPool,
    GlobalPoolLayer: GlobalPool,
    MultiplyLayer: Multiply,
    AddLayer: Add,
    LinearLayer: Linear,
}

# Catalog name, timm's name, padding. Both paddings where timm has both.
PARITY = [
    ("efficientnet-b0", "tf_efficientnet_b0", "same"),
    ("efficientnet-b0", "efficientnet_b0", "symmetric"),
    ("efficientnet-b3", "tf_efficientnet_b3", "same"),
    ("efficientnet-b3", "efficientnet_b3", "symmetric"),
    ("efficientnet-lite0", "tf_efficientnet_lite0", "same"),
    ("efficientnet-lite0", "efficientnet_lite0", "symmetric"),
    ("mobilenet-v1", "mobilenetv1_100", "symmetric"),
    ("mobilenet-v2", "mobilenetv2_100", "symmetric"),
    ("mnasnet-a1", "semnasnet_100", "symmetric"),
    ("mobilenet-v3-large", "tf_mobilenetv3_large_100", "same"),
    ("mobilenet-v3-large", "mobilenetv3_large_100", "symmetric"),
    ("mobilenet-v3-small", "tf_mobilenetv3_small_100", "same"),
    ("mobilenet-v3-small", "mobilenetv3_small_100", "symmetric"),
    ("efficientnetv2-s", "tf_efficientnetv2_s", "same"),
    ("efficientnetv2-s", "efficientnetv2_s", "symmetric"),
    ("resnet-18", "resnet18", "symmetric"),
    ("resnet-50", "resnet50", "symmetric"),
    ("resnext-50-32x4d", "resnext50_32x4d", "symmetric"),
    ("wide-resnet-50-2", "wide_resnet50_2", "symmetric"),
    ("regnety-400mf", "regnety_004", "symmetric"),
]


@pytest.mark.parametrize(("name", "peer", "padding"), PARITY)
@pytest.mark.parametrize("size", [None, 157])
def test_logits_equal_timms(name: str, peer: str, padding: str, size: int | None) -> None:
    torch.manual_seed(0)
    theirs = peers.timm().create_model(peer).eval()
    peers.randomise_norms(theirs)
    eps = next(m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d))
    network = replace(cs.network(name), padding=padding, norm_eps=eps)
    ours = cs.build(network).eval()
    peers.copy_weights(theirs, ours)
    side = size or network.resolution
    images = torch.randn(1, 3, side, side)
    with torch.no_grad():
        expected, logits = theirs(images), ours(images)
    assert float((logits - expected).abs().max() / expected.abs().max()) <= 1e-5


def test_same_padding_is_possible_where_only_timm_symmetric_exists() -> None:
    same = cs.network("mobilenet-v2")
    symmetric = replace(same, padding="symmetric")
    a, b = cs.build(same, seed=0).eval(), cs.build(symmetric, seed=0).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(a(images), b(images))
        # TensorFlow pads even inputs at bottom and right only: one pixel more on top and left of a symmetric
        # first layer shifts the picture by one.
        shifted = torch.nn.functional.pad(images, (0, 1, 0, 1))
        ours = a.stem(images)
        weight = a.get_parameter("stem.conv.conv.weight")
        expected = torch.nn.functional.conv2d(shifted, weight, stride=2)
        norm = a.get_submodule("stem.conv.norm")
        torch.testing.assert_close(ours, torch.nn.functional.relu6(norm(expected)))


@pytest.mark.parametrize(
    "name", ["efficientnet-b1", "resnet-50", "mobilenet-v3-small", "regnety-400mf", "small-resnet"]
)
def test_each_built_layer_is_the_graphs_row_in_order(name: str) -> None:
    network = cs.network(name)
    model = cs.build(network).eval()
    seen: list[tuple[str, tuple[int, ...]]] = []
    kinds = tuple(MODULES.values())
    for path, module in model.named_modules():
        if isinstance(module, kinds):
            module.register_forward_hook(
                lambda _m, _i, out, path=path: seen.append((path, tuple(out.shape)))  # type: ignore[misc]
            )
    with torch.no_grad():
        model(torch.zeros(1, 3, network.resolution, network.resolution))
    rows = list(resolve(network).layers())
    assert [path for path, _ in seen] == [path for path, _ in rows]
    for (path, shape), (_, row) in zip(seen, rows, strict=True):
        module = model.get_submodule(path)
        assert type(module) is MODULES[type(row)], path
        expected = (1, row.out_channels, row.out_size, row.out_size)
        assert shape == (expected[:2] if isinstance(row, LinearLayer) else expected), path
        if isinstance(module, ConvNormAct) and isinstance(row, ConvLayer):
            conv = module.conv
            assert (conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.groups) == (
                row.in_channels, row.out_channels, row.kernel, row.stride, row.groups,
            )  # fmt: skip
            assert (conv.bias is not None, module.norm is not None, module.activation) == row[9:12]


@settings(max_examples=25)
@given(networks, st.integers(1, 70), st.integers(1, 70))
def test_any_network_takes_any_size(network: ConvNet, height: int, width: int) -> None:
    model = cs.build(network, seed=0).eval()
    images = torch.randn(2, network.input_channels, height, width)
    before = images.clone()
    with torch.no_grad():
        first, second = model(images), model(images)
    assert first.shape == (2, network.num_classes)
    assert torch.equal(images, before) and torch.equal(first, second)


@pytest.mark.parametrize("name", ["efficientnet-b0", "resnet-18", "mobilenet-v3-small"])
def test_in_place_work_changes_no_value(name: str) -> None:
    model = cs.build(cs.network(name), seed=0).eval()
    images = torch.randn(2, 3, 65, 93)
    with torch.no_grad():
        in_place = model(images)
    torch.testing.assert_close(in_place, model(images))  # with gradients recorded nothing is in place


def test_activations_are_pytorchs() -> None:
    x = torch.linspace(-6, 6, 1000)
    expected = {
        "relu": nn.ReLU(), "relu6": nn.ReLU6(), "silu": nn.SiLU(), "hard_swish": nn.Hardswish(), "gelu": nn.GELU(),
        "none": nn.Identity(),
    }  # fmt: skip
    assert expected.keys() == set(get_args(Activation))
    for name, module in expected.items():
        network = replace(cs.network("small-mbconv"), stem=Stem(8, kernel=1, stride=1, activation=name))
        stem = cs.build(network).eval().stem
        conv = stem.get_submodule("conv")
        assert isinstance(conv, ConvNormAct)
        for in_place in (True, False):
            with torch.set_grad_enabled(not in_place):
                torch.testing.assert_close(activate(x.clone(), conv.activation), module(x), rtol=0, atol=1e-7)


@settings(max_examples=25)
@given(networks)
def test_any_network_folded_is_the_same_function(network: ConvNet) -> None:
    model = cs.build(network, seed=0).eval()
    peers.randomise_norms(model)
    images = torch.randn(2, network.input_channels, network.resolution, network.resolution)
    with torch.inference_mode():
        expected, logits = model(images), folded(model)(images)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", [nn.SyncBatchNorm, SyncBatchNorm])
def test_synchronised_norms_are_folded(kind: type[nn.BatchNorm2d] | type[nn.SyncBatchNorm]) -> None:
    model = cs.build(cs.network("small-resnet"), seed=0).eval()
    peers.randomise_norms(model)
    images = torch.randn(2, 3, 16, 16)
    expected = model(images).detach()
    for row in model.modules():
        if isinstance(row, ConvNormAct) and row.norm is not None:
            norm = kind(row.norm.num_features, row.norm.eps)
            norm.load_state_dict(row.norm.state_dict())
            row.norm = norm.eval()
    model = folded(model)
    assert not [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_linear_hidden_layer_has_no_dropout() -> None:
    network = replace(cs.network("small-mbconv"), head=ConvPoolHidden(64, 32, "none"))
    model = cs.build(network, dropout=0.3)
    assert [m.dropout for m in model.modules() if isinstance(m, Linear)] == [0.0, 0.3]


def test_a_sample_does_not_depend_on_its_batch() -> None:
    model = cs.build(cs.network("small-mbconv"), seed=0).eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_features() -> None:
    model = cs.build(cs.network("resnet-50")).eval()
    features = model.features(torch.zeros(1, 3, 96, 64))
    assert list(features) == list(model.strides) == ["stem", "stages.0", "stages.1", "stages.2", "stages.3"]
    assert list(model.strides.values()) == [4, 4, 8, 16, 32]
    assert [tuple(f.shape) for f in features.values()] == [
        (1, 64, 24, 16), (1, 256, 24, 16), (1, 512, 12, 8), (1, 1024, 6, 4), (1, 2048, 3, 2),
    ]  # fmt: skip
    with torch.no_grad():
        images = torch.randn(1, 3, 96, 64)
        torch.testing.assert_close(model.head(model.features(images)["stages.3"]), model(images))


def test_drop_path_rates_rise_over_all_blocks() -> None:
    model = cs.build(cs.network("efficientnet-b0"), drop_path=0.2)
    rates = {}
    for index, block in enumerate(block for stage in model.stages for block in stage.children()):
        for module in block.children():
            if isinstance(module, Add):
                rates[index] = module.drop_path
    assert rates == {index: pytest.approx(0.2 * index / 16) for index in (2, 4, 6, 7, 9, 10, 12, 13, 14)}


def test_drop_path_drops_whole_branches_and_keeps_the_mean() -> None:
    add = Add(None, 0.25).train()
    torch.manual_seed(0)
    branch = torch.ones(4000, 2, 3, 3)
    out = add(torch.zeros_like(branch), branch)
    values = out.flatten(1)
    assert values.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (values == values[:, :1]).all()  # a sample as a whole
    assert values.mean() == pytest.approx(1, abs=0.03)
    assert torch.equal(add.eval()(torch.zeros_like(branch), branch), branch)


def test_dropout_sits_before_the_classifier_only() -> None:
    model = cs.build(cs.network("mobilenet-v3-small"), dropout=0.3)
    rates = {path: m.dropout for path, m in model.named_modules() if isinstance(m, Linear)}
    assert rates == {"head.hidden": 0.0, "head.classifier": 0.3}


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan])
def test_rates_that_are_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="drop_path"):
        cs.build(cs.network("small-mbconv"), drop_path=rate)
    with pytest.raises(ConfigError, match="dropout"):
        cs.build(cs.network("small-mbconv"), dropout=rate)


def test_reference_initialisers() -> None:
    model = cs.build(cs.network("efficientnet-b0"), seed=3)
    for row in ("stages.3.0.expand", "stages.5.1.depthwise", "head.conv"):
        conv = model.get_submodule(row).conv
        assert isinstance(conv, nn.Conv2d)
        fan_out = conv.kernel_size[0] ** 2 * conv.out_channels // conv.groups
        assert conv.weight.detach().std() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    classifier = model.get_submodule("head.classifier.linear")
    assert isinstance(classifier, nn.Linear)
    assert classifier.weight.detach().abs().max() <= 1 / math.sqrt(1000) and not classifier.bias.any()
    assert classifier.weight.detach().std() == pytest.approx(1 / math.sqrt(3000), rel=0.02)
    assert not model.get_parameter("stages.3.0.squeeze_reduce.conv.bias").any()


def test_a_seed_repeats_the_weights_and_leaves_the_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = cs.build(cs.network("small-mbconv"), seed=1)
    assert torch.equal(torch.rand(1), expected)
    second = cs.build(cs.network("small-mbconv"), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_renamed_network_builds_the_same() -> None:
    base = cs.network("small-resnet")
    renamed = replace(base, name="efficientnet-lite0")
    a, b = cs.build(base, seed=0).eval(), cs.build(renamed, seed=0).eval()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(a(images), b(images)) and cs.cost(base).macs == cs.cost(renamed).macs


@pytest.mark.parametrize("name", ["small-mbconv", "small-resnet", "small-mobilenet-v1", "small-mobilenet-v2"])
def test_gradients_reach_every_parameter(name: str) -> None:
    model = cs.build(cs.network(name), dropout=0.1, seed=0).train()
    model(torch.randn(8, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
