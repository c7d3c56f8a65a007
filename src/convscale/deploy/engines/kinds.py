"""The engines that there are, the simpler ones first, and how one is opened.

Each lies in a file of its own, which is imported when it is opened: nothing here brings PyTorch or a runtime.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from convscale import machine
from convscale.deploy.engines.failures import cannot_run
from convscale.deploy.engines.protocol import Dtype, Engine, EngineKind
from convscale.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from convscale.nn import Model


def _eager(model: Model, threads: int, dtype: Dtype) -> Engine:
    from convscale.deploy.engines.eager import EagerEngine

    return EagerEngine(model, threads, dtype)


def _packed(model: Model, threads: int, dtype: Dtype) -> Engine:
    from convscale.deploy.engines.packed import PackedEngine

    return PackedEngine(model, threads, dtype)


def _onnxruntime(model: Model, threads: int, dtype: Dtype) -> Engine:
    from convscale.deploy.engines.runtime_engines import model_as_onnx

    return model_as_onnx(model, threads, dtype)


def _openvino(model: Model, threads: int, dtype: Dtype) -> Engine:
    from convscale.deploy.engines.runtime_engines import model_as_openvino

    return model_as_openvino(model, threads, dtype)


def _compile(model: Model, threads: int, dtype: Dtype) -> Engine:
    from convscale.deploy.engines.compiled_torch import CompileEngine

    return CompileEngine(model, threads, dtype)


def _no_compiler() -> str:
    names = (os.environ.get("CXX") or "", "g++", "c++", "clang++")
    return "" if any(name and shutil.which(name) for name in names) else "it has no C++ compiler"


def _cuda(model: Model, threads: int, dtype: Dtype) -> Engine:
    from convscale.deploy.engines.cuda import CudaEngine

    return CudaEngine(model, threads, dtype)


def _no_gpu() -> str:
    return "" if machine.gpus() else "it has no GPU"


_BOTH: tuple[Dtype, ...] = ("float32", "bfloat16")

# Of two that are equally fast the earlier is the better buy: there is less to install, to wait for and to go wrong.
ENGINES: dict[str, EngineKind] = {
    kind.name: kind
    for kind in (
        EngineKind("eager", _eager, _BOTH),
        EngineKind("packed", _packed, _BOTH),
        EngineKind("onnxruntime", _onnxruntime, ("float32",), packages=("onnxruntime",), extra="onnx"),
        EngineKind("openvino", _openvino, _BOTH, packages=("openvino",), extra="openvino"),
        EngineKind("compile", _compile, _BOTH, absent=_no_compiler),
        EngineKind("cuda", _cuda, _BOTH, absent=_no_gpu),
    )
}  # fmt: skip


def installed_engines() -> tuple[str, ...]:
    """The names of those that run on this machine."""
    return tuple(name for name, kind in ENGINES.items() if kind.is_installed())


def open_engine(name: str, model: Model, *, threads: int = 1, dtype: Dtype = "float32") -> Engine:
    """`model`, which stays as it is, in an engine of ENGINES that computes on `threads` threads in `dtype`.

    Raises UnknownNameError for another name, MissingExtraError where the engine is not installed, and ConfigError for
    threads or numbers that it or this machine does not have, or for a network that it cannot run.
    """
    kind = engine_kind(name)
    require_threads(threads)
    require_dtype(kind, dtype)
    try:
        return kind.open(model, threads, dtype)
    except Exception as error:  # runtimes raise their own kinds
        raise cannot_run(name, model.network.name, error) from error


def engine_kind(name: str, also: Iterable[str] = ()) -> EngineKind:
    """The kind of this name, which runs here. Raises as `open_engine`; `also` names what else could be asked for."""
    if name not in ENGINES:
        raise UnknownNameError("engine", name, [*ENGINES, *also])
    kind = ENGINES[name]
    kind.require_package()
    if absent := kind.absent():
        others = ", ".join(installed_engines())
        raise ConfigError(f"engine {name!r} does not run on this machine: {absent}", hint=f"engines here: {others}")
    return kind


def require_threads(threads: int) -> None:
    """Raise ConfigError unless `threads` is a number of them."""
    if type(threads) is not int or threads < 1:
        raise ConfigError(f"threads {threads!r} is not allowed", hint="a whole number from 1 up")


def require_dtype(kind: EngineKind, dtype: Dtype) -> None:
    """Raise ConfigError unless engines of this kind, and this machine, compute in `dtype`."""
    if dtype not in get_args(Dtype):
        raise ConfigError(f"dtype {dtype!r} is not known", hint=f"one of {', '.join(get_args(Dtype))}")
    if dtype not in kind.dtypes:
        hint = f"of a model it computes in {' or '.join(kind.dtypes)}"
        if dtype == "int8":
            hint += "; int8 comes as a file: convscale export --int8"
        raise ConfigError(f"engine {kind.name!r} does not make {dtype} of a model", hint=hint)
    if kind.name != "cuda":
        require_dtype_here(dtype)


def require_dtype_here(dtype: Dtype) -> None:
    """Raise ConfigError unless this machine's processor computes in `dtype`."""
    if dtype == "bfloat16" and not machine.has_fast_bf16():
        raise ConfigError("this processor does not multiply in bfloat16", hint="use float32")
