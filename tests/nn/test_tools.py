"""The built module among other people's tools: each sees every layer, and counts what `cost` counts."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import convscale as cs
from convscale.networks import ConvNet
from convscale.nn import Model, folded
from tests import peers

NAMES = ["efficientnet-b0", "mobilenet-v3-small", "mobilenet-v2", "resnet-18", "regnety-400mf", "small-mbconv"]
DEPRECATED = "ignore:.torch.jit:DeprecationWarning"  # by PyTorch, for whoever uses it still
Run = Callable[[Tensor], Tensor]


def shortened(name: str, padding: Any = "same") -> ConvNet:
    """A network of the catalog, narrow and without its last stages, for 32 pixels; padded unequally at strides."""
    network = cs.scale(cs.network(name), cs.Scaling(1.0, 0.25, 1.0)).with_classes(5)
    return replace(network, stages=network.stages[: 2 if "reg" in name else 3], padding=padding, resolution=32)


def built(name: str, padding: Any = "same") -> Model:
    model = cs.build(shortened(name, padding), seed=0).eval()
    peers.randomise_norms(model)
    return model


def images(side: int = 32, count: int = 1) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def assert_same(one: Run, other: Run, x: Tensor) -> None:
    with torch.no_grad():
        expected = other(x)
        torch.testing.assert_close(one(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


BOTH = [*((name, False) for name in NAMES), ("efficientnet-b0", True), ("resnet-18", True)]


@pytest.mark.filterwarnings(DEPRECATED)
@pytest.mark.parametrize(("name", "fold"), BOTH)
def test_jit_trace_holds_at_every_size(name: str, fold: bool) -> None:
    model = folded(built(name)) if fold else built(name)
    traced = torch.jit.trace(model, images(), check_trace=False)  # type: ignore[no-untyped-call]
    for side in (32, 35):
        assert_same(traced, model, images(side))


@pytest.mark.parametrize(("name", "fold"), BOTH)
def test_export(name: str, fold: bool) -> None:
    model = folded(built(name)) if fold else built(name)
    exported = torch.export.export(model, (images(count=2),), dynamic_shapes=({0: torch.export.Dim("n")},))
    assert_same(exported.module(), model, images(count=3))


def test_export_by_the_compiler() -> None:
    network = shortened("small-mbconv")
    model = cs.build(replace(network, stages=network.stages[:1]), seed=0).eval()
    with torch.no_grad():
        exported = torch.export.export(model, (images(),), strict=True)
    assert_same(exported.module(), model, images())


@pytest.mark.parametrize("fold", [False, True])
def test_symbolic_traces_and_transforms(fold: bool) -> None:
    model = folded(built("efficientnet-b0")) if fold else built("efficientnet-b0")
    assert_same(torch.fx.symbolic_trace(model), model, images(33))
    each = torch.func.vmap(lambda image: model(image[None])[0])
    assert_same(each, model, images(count=2))


@pytest.mark.long
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", ["efficientnet-b0", "resnet-18"])
def test_onnx(name: str, dynamo: bool) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    model, file = folded(built(name)), io.BytesIO()
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporters' own
        torch.onnx.export(model, (images(),), file, dynamo=dynamo)
    graph = onnx.load_from_string(file.getvalue())
    (logits,) = reference.ReferenceEvaluator(graph).run(None, {graph.graph.input[0].name: images().numpy()})
    assert_same(lambda _: torch.from_numpy(logits), model, images())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gradients", [False, True])
def test_pytorchs_counter(name: str, gradients: bool) -> None:
    network = shortened(name)
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        cs.build(network).train(gradients)(images(count=4))
    assert counter.get_total_flops() == 2 * 4 * cs.cost(network).macs


@pytest.mark.filterwarnings(DEPRECATED)
@pytest.mark.parametrize("name", NAMES)
def test_fvcore(name: str) -> None:
    counting = pytest.importorskip("fvcore.nn")
    network, model = shortened(name), built(name)
    counted = counting.FlopCountAnalysis(model, images()).unsupported_ops_warnings(False)
    assert counted.by_operator()["conv"] + counted.by_operator()["linear"] == cs.cost(network).macs
    assert not counted.uncalled_modules()


@pytest.mark.parametrize("name", NAMES)
def test_torchinfo(name: str) -> None:
    torchinfo = pytest.importorskip("torchinfo")
    network, model = shortened(name), built(name)
    found = torchinfo.summary(model, input_data=images(), verbose=0)
    layers = [layer for layer in found.summary_list if layer.is_leaf_layer and layer.class_name in ("Conv2d", "Linear")]
    biases = [
        parameter.numel() for key, parameter in model.named_parameters() if key.endswith(("conv.bias", "linear.bias"))
    ]
    assert sum(layer.macs for layer in layers) - sum(biases) == cs.cost(network).macs
    assert found.total_params == cs.cost(network).params


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("name", NAMES)
def test_hooks_fire_on_every_layer_with_what_leaves_it(name: str, padding: str) -> None:
    """In every mode: what a hook kept is, after the whole network has run, what the layer gives by itself."""
    model = built(name, padding)
    layers = {path: layer for path, layer in model.named_modules() if not isinstance(layer, nn.ModuleList)}
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        seen: dict[str, tuple[tuple[Tensor, ...], Tensor, Tensor]] = {}

        def keep(
            path: str, _module: nn.Module, given: tuple[Tensor, ...], out: Tensor, seen: dict[str, Any] = seen
        ) -> None:
            seen[path] = (given, out, out.detach().clone())

        hooks = [layer.register_forward_hook(partial(keep, path)) for path, layer in layers.items()]
        with mode():
            model(images())
            for hook in hooks:
                hook.remove()
            assert seen.keys() == layers.keys()
            for path, (given, out, then) in seen.items():
                assert torch.equal(out, then), f"{path} was written over"
                torch.testing.assert_close(
                    layers[path](*given), out, rtol=1e-4, atol=1e-4 * float(out.detach().abs().max())
                )


@pytest.mark.parametrize("kind", ["forward", "pre", "backward", "global"])
def test_one_hook_of_any_kind_is_enough(kind: str) -> None:
    """On a convolution of one pixel, which is otherwise computed as a product."""
    model = built("efficientnet-b0").train()
    layer = model.get_submodule("stages.2.0.depthwise.conv")
    calls: list[object] = []

    def note(module: nn.Module, *_: object) -> None:
        if module is layer:
            calls.append(module)

    hook = {
        "forward": lambda: layer.register_forward_hook(note),
        "pre": lambda: layer.register_forward_pre_hook(note),
        "backward": lambda: layer.register_full_backward_hook(note),
        "global": lambda: torch.nn.modules.module.register_module_forward_hook(note),
    }[kind]()
    try:
        model(images(8, 4)).sum().backward()
    finally:
        hook.remove()
    assert len(calls) == 1
    model(images(8, 4)).sum().backward()
    assert len(calls) == 1


def test_a_hook_on_one_layer_keeps_what_the_layers_after_it_would_write_over() -> None:
    model = built("efficientnet-b0")
    rows = [
        "expand.norm", "depthwise", "depthwise.conv", "depthwise.norm", "squeeze_pool", "squeeze_expand.conv",
        "squeeze_multiply", "project", "project.norm", "add",
    ]  # fmt: skip
    with torch.no_grad():
        quiet = model(images())
        for row in rows:
            kept: list[Tensor] = []

            def keep(_module: nn.Module, given: tuple[Tensor, ...], out: Tensor, kept: list[Tensor] = kept) -> None:
                for tensor in (*given, out):
                    kept += [tensor, tensor.clone()]

            hook = model.get_submodule(f"stages.1.1.{row}").register_forward_hook(keep)
            torch.testing.assert_close(model(images()), quiet)
            hook.remove()
            assert len(kept) >= 4 and all(map(torch.equal, kept[::2], kept[1::2])), row


def test_layers_put_in_the_place_of_ours_are_called() -> None:
    """As adapters and quantisers do it: another module, a weight that is computed, another `forward`."""
    model = built("efficientnet-b0")
    plain = model(images()).detach()
    calls: list[str] = []

    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Conv2d) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            calls.append("wrapped")
            out: Tensor = self.inner(x)
            return out

    class Twice(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    row = model.get_submodule("stages.1.0.depthwise")
    own = row.conv
    assert isinstance(own, nn.Conv2d)
    row.conv = Wrapped(own)
    torch.testing.assert_close(model(images()), plain)
    torch.testing.assert_close(folded(model)(images()), plain, rtol=0, atol=1e-4 * float(plain.abs().max()))
    assert calls == ["wrapped"] * 2
    row.conv = own
    torch.nn.utils.parametrize.register_parametrization(own, "weight", Twice())
    for network in (model, folded(model)):
        assert not torch.allclose(network(images()), plain)
    torch.nn.utils.parametrize.remove_parametrizations(own, "weight", leave_parametrized=False)
    own.forward = lambda x: nn.Conv2d.forward(own, x) * 0  # type: ignore[method-assign]
    assert not torch.allclose(model(images()), plain)
