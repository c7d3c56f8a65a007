"""bfloat16 on CPUs: gradients of strided depthwise convolutions in float32, folded networks, processors with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import convscale as cs
from convscale import machine
from convscale.nn import Model, autocast, bf16_speedups, build, folded, to_device
from convscale.nn.convolution import convolve
from convscale.training.step import data_parallel, keep_strides

CPU = torch.device("cpu")
NETWORK = replace(cs.network("small-mbconv").at_resolution(12), stages=cs.network("small-mbconv").stages[:2])


def gradients(conv: nn.Conv2d, x: Tensor, same: bool, precision: str) -> tuple[Tensor, list[Tensor], str]:
    """Of the sum of squares of a convolution of x: output, gradients of x, weight, bias; the output's function."""
    conv.zero_grad()
    x = x.detach().clone(memory_format=torch.channels_last).requires_grad_()
    with autocast(CPU, precision):  # type: ignore[arg-type]
        y = convolve(conv, x, same)
    (y.float() ** 2).sum().backward()  # type: ignore[no-untyped-call]
    found = [x.grad, *(parameter.grad for parameter in conv.parameters())]
    return y.detach(), [one for one in found if one is not None], "" if y.grad_fn is None else y.grad_fn.name()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 3)])
@pytest.mark.parametrize("size", [6, 9])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_strided_depthwise_convolutions(
    kernel: int, stride: int, size: int, same: bool, bias: bool
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride, groups=6, bias=bias).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(5, 6, size, size)
    expected, exact, _ = gradients(conv, x, same, "fp32")
    y, found, function = gradients(conv, x, same, "bf16")
    assert "StridedDepthwise" in function and y.dtype is torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=0.02)
    assert len(found) == len(exact) == 2 + bias
    for one, other in zip(found, exact, strict=True):
        assert one.dtype is torch.float32
        assert (one - other).abs().max() < 0.02 * other.abs().max()


def test_other_convolutions_and_float32_are_pytorchs_own() -> None:
    x = torch.randn(2, 8, 8, 8)
    for conv in (nn.Conv2d(8, 8, 3, 1, groups=8), nn.Conv2d(8, 8, 3, 2), nn.Conv2d(8, 8, 3, 2, groups=2)):
        assert "StridedDepthwise" not in gradients(conv, x, False, "bf16")[2]
    strided = nn.Conv2d(8, 8, 3, 2, groups=8)
    assert "StridedDepthwise" not in gradients(strided, x, False, "fp32")[2]
    with autocast(CPU, "bf16"), torch.no_grad():
        assert convolve(strided, x, False).grad_fn is None


def trained_once(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    with autocast(CPU, "bf16"):
        loss = F.cross_entropy(model(x).float(), torch.arange(len(x)))
    loss.backward()  # type: ignore[no-untyped-call]
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def small() -> tuple[Model, Tensor]:
    model = to_device(build(NETWORK, norm_momentum=0.0, seed=0), CPU).train()
    return model, torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def test_gradients_are_the_same_under_checkpointing_and_data_parallel(tmp_path: Path) -> None:
    model, x = small()
    alone = trained_once(model, x)

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            stem = self.model.stem(images)
            for stage in self.model.stages:
                stem = checkpoint(stage, stem, use_reentrant=False)
            return self.model.head(stem)  # type: ignore[no-any-return]

    assert all(map(torch.equal, trained_once(Checkpointed(), x), alone))
    dist.init_process_group("gloo", rank=0, world_size=1, init_method=f"file://{tmp_path / 'store'}")
    try:
        keep_strides(model.parameters())
        assert all(map(torch.equal, trained_once(data_parallel(model), x), alone))
    finally:
        dist.destroy_process_group()


def test_a_whole_networks_gradients_are_those_of_float32_but_for_rounding() -> None:
    model, x = small()
    found = torch.cat([gradient.flatten() for gradient in trained_once(model, x)])
    model.zero_grad()
    F.cross_entropy(model(x), torch.arange(len(x))).backward()  # type: ignore[no-untyped-call]
    exact = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert F.cosine_similarity(found, exact, dim=0) > 0.98


@pytest.mark.parametrize("name", ["small-mbconv", "small-resnet", "small-mobilenet-v2", "small-mobilenet-v1"])
def test_folded_in_bfloat16(name: str) -> None:
    model = to_device(build(cs.network(name).at_resolution(16), seed=0), CPU).train()
    x = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for _ in range(40):
        model(x)  # statistics of its own
    model.eval()
    with torch.inference_mode():
        exact, rounded = folded(model)(x), folded(model, torch.bfloat16)(x.to(torch.bfloat16))
    assert rounded.dtype is torch.bfloat16 and next(model.parameters()).dtype is torch.float32
    assert (exact - rounded.float()).abs().max() < 0.05 * exact.abs().max()


def test_speedups_are_measured_and_leave_random_numbers_alone() -> None:
    torch.manual_seed(3)
    found = bf16_speedups(NETWORK, 4)
    after = torch.rand(2)
    torch.manual_seed(3)
    assert found.training > 0 and found.evaluation > 0 and torch.equal(after, torch.rand(2))


def test_processors_with_bfloat16(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    for flags, fast in (
        ("fpu avx2 avx512f amx_bf16 amx_tile", True), ("fpu avx512_bf16", True), ("fpu avx512f avx512_vnni", False),
        ("fpu xavx512_bf16", False), ("", False),
    ):  # fmt: skip
        file.write_text(f"processor : 0\nflags\t\t: {flags}\n\nprocessor : 1\nflags : {flags}\n")
        assert machine.has_fast_bf16(file) is fast
    assert not machine.has_fast_bf16(tmp_path / "none")
