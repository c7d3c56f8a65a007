"""What is done for speed changes no value, and each piece does what it says. No test looks at a clock."""

from __future__ import annotations

import itertools
import math
import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscale as cs
from convscale.errors import ConfigError
from convscale.layers import same_padding
from convscale.nn import autocast, keep_memory, pick_device, to_default_device, to_device
from convscale.nn.convolution import convolve
from convscale.nn.layers import Add, ConvNormAct, GlobalPool, Multiply

CHANNELS = [(4, 4, 4), (4, 6, 1), (4, 8, 2), (4, 8, 4), (1, 3, 1)]  # in, out, groups


def plain(conv: nn.Conv2d, x: Tensor, same: bool) -> Tensor:
    """The same by PyTorch's own padding and convolution."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    if not same or stride == 1:
        return F.conv2d(x, conv.weight, conv.bias, stride, kernel // 2, 1, conv.groups)
    top, bottom = same_padding(x.shape[-2], kernel, stride)
    left, right = same_padding(x.shape[-1], kernel, stride)
    return F.conv2d(F.pad(x, (left, right, top, bottom)), conv.weight, conv.bias, stride, 0, 1, conv.groups)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", CHANNELS)
def test_convolutions_and_their_gradients_are_the_plain_ones(
    channels: tuple[int, int, int], kernel: int, same: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, outputs, groups = channels
    for stride, height, width, bias in itertools.product((1, 2, 3), (1, 2, 3, 4, 7), (1, 2, 5), (False, True)):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias).double()
        x = torch.randn(2, inputs, height, width, generator=generator, dtype=torch.float64)
        x = x.to(memory_format=torch.channels_last).requires_grad_()
        expected, out = plain(conv, x, same), convolve(conv, x, same)
        torch.testing.assert_close(out, expected)
        grad = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
        wanted = [x, *conv.parameters()]
        for a, b in zip(
            torch.autograd.grad(out, wanted, grad), torch.autograd.grad(expected, wanted, grad), strict=True
        ):
            torch.testing.assert_close(a, b)


def gradients(model: nn.Module, images: Tensor) -> list[Tensor]:
    for parameter in model.parameters():
        parameter.grad = None
    F.cross_entropy(model(images), torch.arange(len(images)) % 10).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_a_training_step_is_that_of_plain_convolutions(padding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = replace(cs.network("efficientnet-b0").with_classes(10), padding=padding)
    model = cs.build(network, seed=0).double().train()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = gradients(model, images)
    monkeypatch.setattr("convscale.nn.layers.convolve", plain)
    monkeypatch.setattr(GlobalPool, "forward", lambda _self, x: x.mean((2, 3), keepdim=True))
    expected = gradients(model, images)
    assert len(found) == len(expected) == len(list(model.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["efficientnet-b0", "mobilenet-v3-small", "resnet-18"])
def test_features_and_their_gradients_stay_channels_last(name: str) -> None:
    model = cs.build(cs.network(name), dropout=0.2, drop_path=0.2, seed=0).train()
    to_device(model, torch.device("cpu"))
    wrong: list[str] = []

    def check(path: str, tensor: Tensor) -> None:
        if tensor.shape[-2:] != (1, 1) and tensor.stride(1) != 1:  # neighbours in memory are channels of one pixel
            wrong.append(path)

    def forward_hook(module: nn.Module, _inputs: object, output: Tensor) -> None:
        check(paths[module], output)
        output.register_hook(lambda grad: check(f"gradient of {paths[module]}", grad))

    paths = {m: path for path, m in model.named_modules() if isinstance(m, ConvNormAct | Multiply | Add)}
    for module in paths:
        module.register_forward_hook(forward_hook)
    model(torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)).sum().backward()
    assert wrong == []


@pytest.mark.long
def test_compiling_keeps_values_and_names() -> None:
    network = cs.network("small-mbconv")
    model, compiled = (cs.build(network, seed=0).train() for _ in range(2))
    names = list(compiled.state_dict())
    assert to_device(compiled, torch.device("cpu"), compile_model=False) is compiled
    compiled.compile(backend="aot_eager")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for a, b in zip(gradients(model, images), gradients(compiled, images), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert list(compiled.state_dict()) == names


def test_keep_memory() -> None:
    assert keep_memory() == keep_memory() == (platform.libc_ver()[0] == "glibc")


@pytest.mark.long
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library's allocator")
def test_kept_memory_takes_no_page_faults_when_used_again() -> None:
    code = (
        "import resource, torch\n"
        "from convscale.nn import keep_memory\n"
        "{call}\n"
        "make = lambda: torch.zeros(4 << 20)\n"  # 16 MiB, 4,096 pages of 4 KiB
        "[make() for _ in range(5)]; before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): make()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = [
        int(subprocess.run([sys.executable, "-c", code.format(call=call)], capture_output=True, check=True).stdout)
        for call in ("keep_memory()", "pass")
    ]
    assert faults[0] < faults[1] / 4  # small tensors may take a place in between now and then


def test_memory_stays_as_it_is_without_the_gnu_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_memory()


def test_a_process_of_many_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert pick_device() == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device() == torch.device("cuda:3")


def test_autocast() -> None:
    cpu = torch.device("cpu")
    product = torch.ones(4, 4)
    for precision, dtype in (("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(cpu, precision):  # type: ignore[arg-type]
            assert (product @ product).dtype is dtype
    with pytest.raises(ConfigError, match="fp8"):
        autocast(cpu, "fp8")  # type: ignore[arg-type]


def test_bf16_training_reaches_every_parameter() -> None:
    model = to_default_device(cs.build(cs.network("small-mbconv"), drop_path=0.2, seed=0).train()).cpu()
    with autocast(torch.device("cpu"), "bf16"):
        loss = F.cross_entropy(model(torch.randn(8, 3, 8, 8)), torch.arange(8))
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in model.parameters())
