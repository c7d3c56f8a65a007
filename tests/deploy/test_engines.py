"""Every engine that is installed computes what the model does; what cannot be opened is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import convscale as cs
from convscale import machine
from convscale.deploy.engines import ENGINES, Dtype, EngineKind, compiled_torch, installed_engines, open_engine
from convscale.deploy.engines.packed import PackedEngine
from convscale.errors import ConfigError, MissingExtraError, UnknownNameError
from convscale.layers import resolve
from convscale.nn import Model
from convscale.nn.packed_convolutions import has_onednn


def engines(dtype: Dtype) -> list[Any]:
    """Those that are installed and compute in `dtype`."""
    gpu = (pytest.mark.gpu,)
    names = [name for name in installed_engines() if dtype in ENGINES[name].dtypes]
    return [pytest.param(name, marks=gpu if name == "cuda" else ()) for name in names]


FP32 = engines("float32")
NETWORKS = ["small-mbconv", "small-resnet"]


@pytest.fixture(autouse=True)
def no_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inductor writes and compiles C++ for a minute: of torch.compile only PyTorch's half is run here."""
    monkeypatch.setattr(compiled_torch, "OPTIONS", {"dynamic": False, "backend": "aot_eager"})


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest) -> Model:
    """A network whose batch norms do something."""
    built = cs.build(request.param, seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in built.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            tensor.uniform_(0.7, 1.4, generator=generator)
    return built


def images(model: Model, n: int) -> np.ndarray:
    side = model.network.resolution
    return np.random.default_rng(2).normal(size=(n, 3, side, side)).astype(np.float32)


def logits(model: Model, x: np.ndarray) -> np.ndarray:
    mode = model.training
    with torch.inference_mode():
        found = model.eval()(torch.from_numpy(x)).numpy()
    model.train(mode)
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", FP32)
def test_an_engine_computes_the_models_logits_for_any_batch(model: Model, name: str) -> None:
    engine = open_engine(name, model)
    assert (engine.name, engine.dtype, engine.threads) == (name, "float32", 1)
    for n in (1, 3):
        x = images(model, n)
        expected, found = logits(model, x), engine(x)
        assert found.dtype == np.float32 and found.flags.owndata
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.long
@pytest.mark.parametrize("name", FP32)
def test_an_engine_keeps_nothing_and_changes_nothing_of_others(name: str) -> None:
    model = cs.build("tiny-mbconv", seed=0).train()
    engine = open_engine(name, model)
    before, x = torch.get_num_threads(), images(model, 2)
    first = engine(x)
    kept, given = first.copy(), x.copy()
    x.setflags(write=False)
    engine(np.ascontiguousarray(x[::-1]))
    assert np.array_equal(first, kept), "a later call overwrites the logits of an earlier one"
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert np.array_equal(engine(np.asfortranarray(x)), kept), "it computes with the weights that it was opened with"
    assert np.array_equal(x, given) and model.training and torch.get_num_threads() == before
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.skipif(not machine.has_fast_bf16(), reason="this processor does not multiply in bfloat16")
@pytest.mark.parametrize("name", engines("bfloat16"))
def test_bfloat16_is_near(name: str) -> None:
    model = cs.build("small-resnet", seed=0)
    x = images(model, 2)
    expected, engine = logits(model, x), open_engine(name, model, dtype="bfloat16")
    found = engine(x)
    assert engine.dtype == "bfloat16" and found.dtype == np.float32
    assert 1e-5 < np.abs(found - expected).max() / np.abs(expected).max() < 0.1


def test_packed_runs_fused_steps() -> None:
    model = cs.build("small-mbconv", seed=0)
    engine = open_engine("packed", model)
    assert isinstance(engine, PackedEngine) and engine.lowered.steps
    assert not has_onednn(torch.float32) or len(engine.lowered.steps) < sum(1 for _ in resolve(model.network).layers())


def test_the_models_threads_are_its_own() -> None:
    engine = open_engine("eager", cs.build("tiny-mbconv", seed=0), threads=2)
    seen: list[int] = []
    engine.network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))  # type: ignore[attr-defined]
    before = torch.get_num_threads()
    engine(images(cs.build("tiny-mbconv"), 1))
    assert seen == [2] and torch.get_num_threads() == before


def test_what_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cs.build("tiny-mbconv", seed=0)
    with pytest.raises(UnknownNameError, match="did you mean 'eager'"):
        open_engine("eagre", model)
    with pytest.raises(ConfigError, match="threads 0 is not allowed"):
        open_engine("eager", model, threads=0)
    with pytest.raises(ConfigError, match="dtype 'float16' is not known.*bfloat16"):
        open_engine("eager", model, dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="int8 of a model.*export --int8"):
        open_engine("eager", model, dtype="int8")
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: False)
    with pytest.raises(ConfigError, match="does not multiply in bfloat16"):
        open_engine("eager", model, dtype="bfloat16")


def test_engines_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(model: Model, threads: int, dtype: Dtype) -> None:
        raise AssertionError

    model = cs.build("tiny-mbconv", seed=0)
    kinds = [
        EngineKind("planted", opened, ("float32",), packages=("no_such_runtime",), extra="planted"),  # type: ignore[arg-type]
        EngineKind("elsewhere", opened, ("float32",), absent=lambda: "it has no such device"),  # type: ignore[arg-type]
    ]
    for kind in kinds:
        monkeypatch.setitem(ENGINES, kind.name, kind)
        assert kind.name not in installed_engines()
    with pytest.raises(MissingExtraError, match=r"no_such_runtime.*convscale\[planted\]"):
        open_engine("planted", model)
    with pytest.raises(ConfigError, match="no such device.*engines here: eager"):
        open_engine("elsewhere", model)


def test_asking_what_is_installed_imports_none_of_it() -> None:
    code = (
        "import sys; from convscale.deploy.engines import installed_engines; assert installed_engines();"
        "found = {'torch', 'onnxruntime', 'openvino', 'onnx'} & sys.modules.keys(); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
