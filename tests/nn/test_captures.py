"""What `captured` gives of a network's inside."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import convscale as cs
from convscale.errors import UnknownNameError
from convscale.nn import Model, folded

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model() -> Model:
    network = cs.network("small-mbconv")
    return cs.build(replace(network, stages=network.stages[:3]), seed=0).eval()


def test_layers_of_every_depth_by_name(model: Model) -> None:
    names = ["head.conv", "stages.2", "stem", "stages.0.0.depthwise.norm", "head"]
    with torch.no_grad():
        found, features, logits = model.captured(IMAGES, names), model.features(IMAGES), model(IMAGES)
    assert list(found) == names
    assert torch.equal(found["head"], logits)
    for name in ("stem", "stages.2"):
        assert torch.equal(found[name], features[name])
    conv, norm = model.get_submodule("head.conv.conv"), model.get_submodule("head.conv.norm")
    with torch.no_grad():
        expected = nn.functional.silu(norm(conv(list(features.values())[-1])))
    torch.testing.assert_close(found["head.conv"], expected)


@pytest.mark.parametrize("fold", [False, True])
def test_values_are_those_that_leave_the_layer_in_every_mode(model: Model, fold: bool) -> None:
    network = folded(model) if fold else model
    names = [name for name, layer in network.named_modules() if name and not isinstance(layer, nn.ModuleList)]
    expected = network.captured(IMAGES, names)  # with gradients nothing is written over
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = {name: network.captured(IMAGES, name)[name] for name in names}
            together = network.captured(IMAGES, names)
        for name in names:
            for values in (found[name], together[name]):
                torch.testing.assert_close(values, expected[name].detach(), rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_flow(model: Model) -> None:
    found = model.captured(IMAGES, ["head.conv", "stages.2", "head"])
    maps = torch.autograd.grad(found["head"][:, 3].sum(), [found["head.conv"], found["stages.2"]])
    classifier = model.get_submodule("head.classifier.linear").weight[3]
    pixels = found["head.conv"].shape[2] * found["head.conv"].shape[3]
    torch.testing.assert_close(maps[0], (classifier / pixels)[None, :, None, None].expand_as(maps[0]))
    assert maps[1].shape == found["stages.2"].shape and maps[1].abs().sum() > 0


def test_nothing_is_left_behind(model: Model) -> None:
    before = model(IMAGES)
    model.captured(IMAGES, "stem")
    with pytest.raises(RuntimeError):
        model.captured(IMAGES[:, :2], ["stem", "head"])
    assert not any(layer._forward_hooks for layer in model.modules())
    assert torch.equal(model(IMAGES), before) and model.captured(IMAGES, []) == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("head.convs", "did you mean 'head.conv'"),
        ("stage.2", "'stages.2'"),
        ("stages", "'stages."),
        ("", "named_modules"),
        ("conv_head_of_timm", "stages.0"),
    ],
)
def test_unknown_names(model: Model, name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown layer") as caught:
        model.captured(IMAGES, ["stem", name])
    assert hint in caught.value.hint
