"""Maps add up to the logit, agree with other libraries, and leave no trace."""

from __future__ import annotations

import gc
import resource
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.dialects.peers import library
from convscale.errors import ConfigError, DataError, RunError, UnknownNameError
from convscale.evaluation.inputs import given_images
from convscale.explanation.explaining import explained, opened
from convscale.explanation.looking import classify, features_name, look, shell
from convscale.explanation.methods import METHODS
from convscale.nn import Model
from tests.explanation.planted import BLOCKS, brightness, named, network, small

NETWORKS = ("small-mbconv", "small-mobilenet-v2", "small-resnet", "tiny-mbconv")
PHOTO = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (40, 33, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def hidden() -> Model:
    return small("mobilenet-v3-small", 64)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [32, 45])
def test_cells_and_bias_sum_to_the_logit(name: str, size: int) -> None:
    for one in cs.explain(small(name, size), [PHOTO, OTHER]):
        assert one.method == "cam" and one.map.dtype == np.float32
        assert one.logit_parts is not None and one.cam_sum is not None
        cells, bias = one.logit_parts
        assert cells.sum() + bias == pytest.approx(one.logit, abs=1e-5)
        assert one.map.sum(dtype=np.float64) + bias == pytest.approx(one.logit, abs=1e-5)
        assert one.cam_sum == pytest.approx(one.logit, abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradcam_is_cam_where_the_head_is_linear(name: str) -> None:
    model = small(name, 40)
    for class_name in ("cat", "a long name"):
        (cam,), (gradcam,) = (
            cs.explain(model, PHOTO, method=method, class_name=class_name) for method in ("cam", "gradcam")
        )
        np.testing.assert_allclose(gradcam.map, cam.map, atol=1e-5)
        assert gradcam.cam_sum == cam.cam_sum and cam.class_name == class_name


def test_numbers_are_those_of_the_prediction(tmp_path: Path) -> None:
    model = small("small-mbconv", 32)
    assert model.preprocessing is not None
    header = cs.WeightsHeader(model.network, model.preprocessing, model.classes)
    cs.save_weights(tmp_path / "net.safetensors", model, header)
    predicted = cs.predict(tmp_path / "net.safetensors", [PHOTO, OTHER], quiet=True)
    found = cs.explain(tmp_path / "net.safetensors", [PHOTO, OTHER], batch=1)
    for one, other in zip(found, predicted, strict=True):
        assert (one.image, one.class_name) == (other.image, other.classes[0][0])
        assert one.probability == pytest.approx(other.classes[0][1], abs=1e-6)
    again = cs.explain(model, [PHOTO, OTHER], class_name=found[0].class_name)
    np.testing.assert_allclose(again[0].map, found[0].map, atol=1e-6)
    assert (found[0].rows.resized, found[0].columns.cut, found[1].rows.cut) == (32, 3, 3)


def test_a_head_with_a_hidden_layer_has_gradcam_and_no_cam(hidden: Model) -> None:
    (one,) = cs.explain(hidden, PHOTO)
    assert one.method == "gradcam" and one.logit_parts is None and one.cam_sum is None and np.ptp(one.map) > 0
    with pytest.raises(ConfigError, match="a pool and a linear layer: mobilenet-v3-small") as caught:
        cs.explain(hidden, PHOTO, method="cam")
    assert "--method gradcam" in caught.value.hint


def test_gradcam_of_a_hidden_layer_is_its_formula(hidden: Model) -> None:
    """By autograd through the whole network, on a batch of two classes."""
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    found = hidden.captured(images, [features_name(hidden.network), "head"])
    features, logits = found.values()
    (gradient,) = torch.autograd.grad(logits[0, 2] + logits[1, 1], features)
    expected = (gradient.mean((2, 3), keepdim=True) * features).sum(1)
    maps = METHODS["gradcam"](hidden, look(hidden, images).features, torch.tensor([2, 1]))
    torch.testing.assert_close(maps.float(), expected.detach(), rtol=1e-4, atol=1e-6)


# Other libraries


def quietly(name: str) -> Any:
    """Another library, skipped where it is not installed."""
    pytest.importorskip(name.partition(".")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library(name)


@pytest.mark.parametrize("name", ["small-mbconv", "mobilenet-v3-small"])
def test_captum_agrees(name: str) -> None:
    attr = quietly("captum.attr")
    model = small(name, 64)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    layer = model.get_submodule(features_name(model.network))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = attr.LayerGradCam(model, layer).attribute(images, target=[1, 2])[:, 0]
    ours = METHODS["gradcam"](model, look(model, images).features, torch.tensor([1, 2]))
    torch.testing.assert_close(ours.float(), theirs.detach(), rtol=1e-4, atol=1e-5)


# No trace


def states(model: Model) -> list[Any]:
    return [
        (name, module.training, len(module._forward_hooks), len(module._backward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ] + [(name, one.requires_grad, one.grad, one.data_ptr()) for name, one in model.named_parameters()]


@pytest.mark.parametrize("method", METHODS)
def test_a_model_stays_as_it_is(method: str) -> None:
    model = small("small-mbconv", 32).train()
    model.stem.requires_grad_(False)
    called: list[int] = []
    model.head.register_forward_hook(lambda *_: called.append(1))
    before, weights = states(model), {name: value.clone() for name, value in model.state_dict().items()}
    evaluating = small("small-mbconv", 32)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            (one,) = cs.explain(model, PHOTO, method=method)
            assert torch.is_grad_enabled() == enabled
    with torch.inference_mode():
        (two,) = cs.explain(model, PHOTO, method=method)
    assert states(model) == before and not called
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    (expected,) = cs.explain(evaluating, PHOTO, method=method)
    for found in (one, two):
        np.testing.assert_allclose(found.map, expected.map, rtol=1e-5, atol=1e-6)


def test_a_shell_shares_its_tensors_and_nothing_else() -> None:
    model = small("small-resnet", 32).train()
    copied = shell(model)
    assert [one.data_ptr() for one in copied.parameters()] == [one.data_ptr() for one in model.parameters()]
    assert model.training and not any(module.training for module in copied.modules())
    assert not {id(one) for one in copied.modules()} & {id(one) for one in model.modules()}


def test_others_may_evaluate_meanwhile() -> None:
    model = small("small-mbconv", 32)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = model(images)
    alone = {method: cs.explain(model, PHOTO, method=method)[0].map for method in METHODS}
    stop, wrong = threading.Event(), []

    def evaluate() -> None:
        while not stop.is_set():
            with torch.no_grad():
                if not torch.allclose(model(images), expected, atol=1e-5):
                    wrong.append("evaluation")

    thread = threading.Thread(target=evaluate)
    thread.start()
    try:
        for _ in range(8):
            for method in METHODS:
                (found,) = cs.explain(model, PHOTO, method=method)
                if not np.allclose(found.map, alone[method], atol=1e-4):
                    wrong.append(method)
    finally:
        stop.set()
        thread.join()
    assert not wrong


def alive() -> int:
    """Tensors that Python knows."""
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


@pytest.mark.long
def test_a_thousand_calls_leave_memory_flat() -> None:
    model = named(brightness(network(BLOCKS["basic"], "same", (2,))), 16)
    tensors, before = 0, 0
    for call in range(1200):
        cs.explain(model, OTHER, method=list(METHODS)[call % len(METHODS)])
        if call == 199:
            gc.collect()
            tensors = alive()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gc.collect()
    assert alive() <= tensors
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 5  # MB; ru_maxrss is in kB


# What is refused


def test_what_does_not_exist(tmp_path: Path) -> None:
    model = small("small-mbconv", 32)
    for wrong, hint in (("cats", "'cat'"), ("LONG", "'a long name'"), ("zebra", "allowed: a long name, cat, dog")):
        with pytest.raises(UnknownNameError, match="unknown class") as caught:
            cs.explain(model, PHOTO, class_name=wrong)
        assert hint in caught.value.hint
    with pytest.raises(UnknownNameError, match="unknown method 'grad-cam'") as caught:
        cs.explain(model, PHOTO, method="grad-cam")
    assert "'gradcam'" in caught.value.hint
    with pytest.raises(RunError, match="no such run folder"):
        cs.explain(tmp_path / "gone", PHOTO)
    with pytest.raises(DataError, match="no such image file"):
        cs.explain(model, "gone.png")
    with pytest.raises(ConfigError, match="batch 0"):
        cs.explain(model, PHOTO, batch=0)
    with pytest.raises(ConfigError, match="no preprocessing"):
        cs.explain(cs.build(cs.network("small-mbconv")), PHOTO)


def test_unreadable_images_keep_their_place() -> None:
    model = opened(small("small-mbconv", 32))
    images, _ = given_images([PHOTO, b"no image", OTHER])
    for batch in (1, 3):
        found = list(explained(model, images, batch=batch))
        assert [one.image for one in found] == ["images[0]", "images[1]", "images[2]"]
        assert [type(one).__name__ for one in found] == ["Explanation", "Unreadable", "Explanation"]
    with pytest.raises(DataError, match=r"images\[1\]: not an image"):
        cs.explain(model, [PHOTO, b"no image"])


def test_grey_images_and_other_channels() -> None:
    for channels in (1, 5):
        net = replace(cs.network("small-resnet"), input_channels=channels, num_classes=3)
        model = named(cs.build(net, seed=0).eval(), 32)
        (one,) = cs.explain(model, np.ones((33, 40, channels), dtype=np.uint8))
        assert one.shown.shape == ((33, 40) if channels == 1 else (33, 40, 3)) and one.placed(33, 40).shape == (33, 40)


# The methods


@pytest.fixture(scope="module")
def seen() -> tuple[Model, torch.Tensor, torch.Tensor]:
    """A network with a hidden layer, whose gradients differ from cell to cell only by rounding, and its features."""
    model = small("mobilenet-v3-small", 64)
    features = look(model, torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))).features
    return model, features, torch.tensor([2, 0])


def test_gradcam_plus_plus_and_layercam_by_their_formulas(seen: tuple[Model, torch.Tensor, torch.Tensor]) -> None:
    model, features, classes = seen
    leaf = features.clone().requires_grad_()
    score = classify(model, leaf).gather(1, classes[:, None]).sum()
    slopes = torch.autograd.grad(score, leaf)[0].double().numpy()
    values = features.double().numpy()
    for image in range(2):
        expected = np.zeros(values.shape[2:])
        for channel in range(values.shape[1]):
            a, g = values[image, channel], slopes[image, channel]
            below = 2 * g**2 + a.sum() * g**3
            share = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
            expected += (share * g.clip(0)).sum() * a
        found = METHODS["gradcam++"](model, features, classes)[image].numpy()
        np.testing.assert_allclose(found, expected.clip(0), rtol=1e-5, atol=1e-9)
        found = METHODS["layercam"](model, features, classes)[image].numpy()
        np.testing.assert_allclose(found, (slopes[image].clip(0) * values[image]).sum(0).clip(0), rtol=1e-5, atol=1e-9)


def test_eigencam_is_the_first_direction_whatever_the_class(seen: tuple[Model, torch.Tensor, torch.Tensor]) -> None:
    model, features, classes = seen
    found = METHODS["eigencam"](model, features, classes)
    assert torch.equal(found, METHODS["eigencam"](model, features, 1 - classes.clamp(max=1)))
    for image in range(2):
        cells = features[image].double().flatten(1).T.numpy()
        values, vectors = np.linalg.eigh(cells.T @ cells)
        expected = cells @ vectors[:, -1]
        np.testing.assert_allclose(np.abs(found[image].flatten().numpy()), np.abs(expected), atol=1e-8)
        assert found[image].sum() > 0 and values[-1] > values[-2]


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("gradcam", "GradCAM"), ("gradcam++", "GradCAMPlusPlus"), ("layercam", "LayerCAM")],
)
def test_grad_cam_agrees(method: str, theirs: str) -> None:
    """Theirs are scaled to 0 to 1, and resized to the image: here to the map's own size."""
    other = quietly("pytorch_grad_cam")
    model = small("small-mbconv", 32)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    targets = [other.utils.model_targets.ClassifierOutputTarget(index) for index in (1, 2)]
    layer = model.get_submodule(features_name(model.network))
    with getattr(other, theirs)(model=model, target_layers=[layer]) as extractor:
        extractor.get_target_width_height = lambda tensor: (4, 4)
        expected = extractor(images, targets=targets)
    found = METHODS[method](model, look(model, images).features, torch.tensor([1, 2])).clamp(min=0).numpy()
    for one, ours in zip(expected, found, strict=True):
        low, high = ours.min(), ours.max()
        np.testing.assert_allclose(one, (ours - low) / (high - low), atol=2e-3)
