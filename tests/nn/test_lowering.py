"""Lowered networks compute what their models do, of any family, at any size, whoever looks on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import convscale as cs
from convscale.catalog import CATALOG
from convscale.layers import ConvLayer, resolve, same_padding
from convscale.networks import ConvNet, ConvPoolHidden, Padding
from convscale.nn import Lowered, Model, lower, lowering, to_device
from convscale.nn.fusing import IMAGES
from convscale.nn.layers import ConvNormAct
from convscale.nn.packed_convolutions import PackedConvolution, PointwiseConvolution, has_onednn, packed
from tests import peers
from tests.networks.test_networks import networks

needs_onednn = pytest.mark.skipif(not has_onednn(torch.float32), reason="PyTorch is built without oneDNN")


def short(name: str) -> ConvNet:
    """A network of the catalog a third as wide, with one block of each row."""
    network = cs.network(name)
    width = 1.0 if name.startswith(("small", "tiny")) else 1 / 3
    network = cs.scale(replace(network, origin=None), cs.Scaling(0.01, width, 1.0))
    return replace(network, resolution=min(48, network.resolution)).with_classes(7)


def built(network: ConvNet, seed: int = 0) -> Model:
    model = cs.build(network, seed=seed).eval()
    peers.randomise_norms(model)
    return model


def pixels(network: ConvNet, height: int, width: int, count: int = 2) -> Tensor:
    return torch.randn(count, network.input_channels, height, width, generator=torch.Generator().manual_seed(1))


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert found.dtype is torch.float32 and not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-5 * float(expected.detach().abs().max()))


@settings(max_examples=15)
@given(networks, st.integers(1, 45), st.integers(1, 45), st.booleans())
def test_any_network_at_any_size(network: ConvNet, height: int, width: int, channels_last: bool) -> None:
    model, images = built(network), pixels(network, height, width)
    lowered = lower(model)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone()
    with torch.no_grad():
        assert_same(lowered(images), model(images))
        assert_same(lowered.pooled(images), model.pooled(images))
        assert_same(lowered.classified(images), model.classified(images))
    assert torch.equal(images, before) and torch.equal(lowered(images), lowered(images))


@pytest.mark.parametrize("name", CATALOG)
def test_every_network_of_the_catalog(name: str) -> None:
    network = short(name)
    model = built(network)
    lowered = lower(model)
    for side in (network.resolution, network.resolution - 1):
        assert_same(lowered(pixels(network, side, side)), model(pixels(network, side, side)))


@needs_onednn
@pytest.mark.parametrize(
    "name", ["small-mbconv", "resnet-50", "mobilenet-v3-large", "regnety-400mf", "efficientnetv2-s"]
)
def test_steps_cover_the_graph_once_and_fuse(name: str) -> None:
    network = short(name)
    lowered, rows = lower(built(network)), [row for row, _ in resolve(network).layers()]
    assert sorted(row for step in lowered.steps for row in step.rows) == sorted(rows)
    assert all(step.name == step.rows[0] for step in lowered.steps) and len(lowered.steps) < len(rows)
    alone = {step.name.rpartition(".")[2] for step in lowered.steps if len(step.rows) == 1}
    assert not alone & {"squeeze_pool", "squeeze_multiply"}
    written = {IMAGES}
    for step in lowered.steps:
        assert set(step.inputs) <= written, step.name
        written.add(step.output)
    released = [tensor for step in lowered.steps for tensor in step.last_uses]
    assert sorted([*released, lowered.steps[-1].output]) == sorted(written), "each tensor is released once"
    times = lowered.timed(pixels(network, 32, 32))
    assert [(time.name, time.rows) for time in times] == [(step.name, step.rows) for step in lowered.steps]
    assert all(time.seconds > 0 for time in times)


def convolution(kernel: int, stride: int, groups: int, channels: int = 16, padding: Padding = "same") -> ConvNormAct:
    layer = ConvLayer(
        "conv", (-1,), channels, channels, 32, -(-32 // stride), kernel, stride, groups, True, False, None, (0, 0)
    )
    torch.manual_seed(0)
    return ConvNormAct(layer, padding, 1e-3, 0.01).requires_grad_(False)


@needs_onednn
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (31, 32), (14, 9), (33, 33), (2, 1), (6, 7)])
def test_a_zero_row_and_column_in_front_change_no_bit(kernel: int, height: int, width: int) -> None:
    row = convolution(kernel, 2, 16)
    x = torch.randn(2, 16, height, width).contiguous(memory_format=torch.channels_last)
    fast = PackedConvolution(row, 32)
    sides = (*same_padding(width, kernel, 2), *same_padding(height, kernel, 2))
    weight, padded = row.conv.weight, F.pad(x, sides).contiguous(memory_format=torch.channels_last)
    assert torch.equal(fast(x), F.conv2d(padded, weight, row.conv.bias, 2, 0, 1, 16))


@needs_onednn
def test_small_products_are_products() -> None:
    row = convolution(1, 1, 1)
    pointwise, x = packed(row, 32), torch.randn(16, 16, 32, 32)
    assert isinstance(pointwise, PointwiseConvolution) and pointwise.is_product(x[:1]) and not pointwise.is_product(x)
    for images in (x[:1], x):
        other = torch.randn_like(images)
        assert_same(pointwise(images), row(images))
        for overwrite in (False, True):
            expected = torch.relu(row(images) + other)
            assert_same(pointwise.plus(images, other.clone(), "relu", overwrite), expected)
    for row, size in ((convolution(1, 1, 1), 1000), (convolution(1, 2, 1), 8), (convolution(3, 1, 1), 8)):
        assert isinstance(packed(row, size), PackedConvolution)


def test_weights_are_those_of_the_call() -> None:
    network = short("efficientnet-b0")
    model, images = built(network), pixels(network, 33, 33)
    lowered, before = lower(model), model(images)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert_same(lowered(images), before)
    assert_same(lower(model)(images), model(images))
    assert not torch.allclose(before, model(images))


PLACES = [
    "stem.conv.conv", "stages.1.0.expand", "stages.1.0.depthwise", "stages.1.0.squeeze_pool",
    "stages.1.0.squeeze_expand.conv", "stages.1.0.squeeze_multiply", "stages.1.1.project", "stages.1.1.add",
    "stages.1.1", "stages.1", "head.pool", "head.classifier.linear", "head", "",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_hooks_are_called_and_keep_what_they_are_shown(place: str) -> None:
    network = cs.network("efficientnet-b0").with_classes(7)
    network = replace(network, stages=network.stages[:2])
    model, images, kept = built(network), pixels(network, 32, 32), []  # type: ignore[var-annotated]
    expected = model(images)

    def keep(_module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        for tensor in (*given, out):
            kept.extend([tensor, tensor.detach().clone()])

    model.get_submodule(place).register_forward_hook(keep)
    assert_same(lower(model)(images), expected)
    assert len(kept) >= 4 and all(map(torch.equal, kept[::2], kept[1::2]))
    assert_same(lower(model).pooled(images), model.pooled(images))
    assert_same(lower(model).classified(images), model.classified(images))


class Tripled(nn.Module):
    """Three times what a layer gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Tensor) -> Tensor:
        out: Tensor = self.inner(*given)
        return 3 * out


@pytest.mark.parametrize("place", [place for place in PLACES if place])
def test_modules_in_the_place_of_ours_are_called(place: str) -> None:
    model = built(short("efficientnet-b0"))
    place = place.replace("1.1", "1.0").replace("1.0.add", "1.0.project")
    images = pixels(model.network, 33, 32)
    parent, _, name = place.rpartition(".")
    before = lower(model)(images)
    setattr(model.get_submodule(parent), name, Tripled(model.get_submodule(place)))
    assert_same(lower(model)(images), model(images))
    assert not torch.allclose(before, model(images), rtol=0, atol=1e-5)


def test_other_norms_stay() -> None:
    model = built(short("resnet-18"))
    for row in model.modules():
        if isinstance(row, ConvNormAct) and row.norm is not None:
            setattr(row, "norm", nn.GroupNorm(2, row.norm.num_features))  # noqa: B010
    images = pixels(model.network, 32, 32)
    assert_same(lower(model)(images), model(images))


def test_without_onednn_the_folded_network_is_the_only_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(short("mobilenet-v3-small"))
    images = pixels(model.network, 32, 31)
    monkeypatch.setattr(lowering, "has_onednn", lambda _: False)
    plain = lower(model)
    assert len(plain.steps) == 1 and len(plain.steps[0].rows) == sum(1 for _ in resolve(model.network).layers())
    assert_same(plain(images), model(images))
    assert_same(plain.pooled(images), model.pooled(images))
    assert_same(plain.classified(images), model.classified(images))
    assert [time.name for time in plain.timed(images)] == ["network"]


@pytest.mark.parametrize("name", ["small-mbconv", "small-resnet", "mobilenet-v3-small"])
def test_bfloat16(name: str) -> None:
    network = replace(short(name), resolution=32)
    model = to_device(cs.build(network, seed=0), torch.device("cpu")).train()
    images = pixels(network, 32, 32, 16)
    with torch.no_grad():
        for _ in range(30):
            model(images)  # statistics of its own
    model.eval()
    rounded, exact = lower(model, torch.bfloat16)(images), lower(model)(images)
    assert rounded.dtype is torch.float32 and not torch.equal(rounded, exact)
    assert (exact - rounded).abs().max() < 0.06 * exact.abs().max()
    assert next(model.parameters()).dtype is torch.float32


def test_other_dtypes_are_computed_as_they_are() -> None:
    model = built(short("resnet-18")).double()
    images = pixels(model.network, 32, 32)
    assert_same(lower(model)(images), model(images.double()).float())


def test_threads_share_a_lowered_network() -> None:
    network = replace(short("efficientnet-b0"), head=ConvPoolHidden(32, 16))
    lowered = lower(built(network))
    sizes = [(32, 32), (33, 32), (32, 33), (33, 33)] * 3
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda size: lowered(pixels(network, *size)), sizes))
    assert all(torch.equal(logits, lowered(pixels(network, *size))) for logits, size in zip(found, sizes, strict=True))


def test_what_it_says_of_itself() -> None:
    lowered = lower(built(cs.network("small-resnet")))
    assert (
        isinstance(lowered, Lowered) and repr(lowered) == f"Lowered small-resnet: {len(lowered.steps)} steps, float32"
    )
