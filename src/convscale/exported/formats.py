"""The formats of exported files: how each is recognised, and what opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from convscale.errors import ConfigError, MissingExtraError, UnknownNameError
from convscale.exported.runtime import Runtime
from convscale.records import ExportFormat


@dataclass(frozen=True, slots=True)
class Format:
    """A format of exported files."""

    name: ExportFormat
    title: str
    """What people call it."""
    suffix: str
    """How its files end."""
    extra: str
    """The extra of Convscale that brings what writes and runs it; "" where PyTorch does."""
    packages: tuple[tuple[str, str], ...]
    """Modules that write it, with the packages that bring them."""
    runtime: tuple[str, str]
    """The module that runs it, and its package."""
    open: Callable[[Path, int], Runtime] | None
    """The runtime of a file, on a number of threads; None where nothing on this system runs it."""
    max_batch: int = 1024
    """The most images that a file takes at once."""
    unopened: str = ""
    """Why nothing opens it."""

    def require_writer(self) -> None:
        """Raise MissingExtraError where something is missing that writes it."""
        self._require(self.packages, f"writing {self.title} files")

    def require_runtime(self, path: Path) -> Callable[[Path, int], Runtime]:
        """What opens it. Raises MissingExtraError where that is missing, ConfigError where this system cannot."""
        if self.open is None:
            raise ConfigError(f"{path}: {self.unopened}")
        self._require((self.runtime,), f"running {self.title} files")
        return self.open

    def _require(self, packages: tuple[tuple[str, str], ...], purpose: str) -> None:
        for module, package in packages:
            if find_spec(module) is None:
                raise MissingExtraError(package, self.extra, purpose)


def _onnx(path: Path, threads: int) -> Runtime:
    from convscale.exported.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path, threads)


def _openvino(path: Path, threads: int) -> Runtime:
    from convscale.exported.openvino_runtime import OpenVino

    return OpenVino(path, threads)


def _torch(path: Path, threads: int) -> Runtime:
    from convscale.exported.torch_program import TorchProgram

    return TorchProgram(path, threads)


def _litert(path: Path, threads: int) -> Runtime:
    from convscale.exported.litert_runtime import LiteRt

    return LiteRt(path, threads)


def _executorch(path: Path, threads: int) -> Runtime:
    from convscale.exported.executorch_runtime import ExecuTorch

    return ExecuTorch(path, threads)


_ONNX = (("onnx", "onnx"), ("onnxscript", "onnxscript"))
_OPENVINO = ("openvino", "openvino")
_EXECUTORCH = ("executorch", "executorch")

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("onnx", "ONNX", ".onnx", "onnx", _ONNX, ("onnxruntime", "onnxruntime"), _onnx),
        Format("openvino", "OpenVINO", ".xml", "openvino", (_OPENVINO,), _OPENVINO, _openvino),
        Format("torch", "torch.export", ".pt2", "", (), ("torch", "torch"), _torch),
        Format("litert", "LiteRT", ".tflite", "litert", (("litert_torch", "litert-torch"),),
               ("ai_edge_litert", "ai-edge-litert"), _litert, max_batch=1),
        # It reserves memory for the largest batch.
        Format("executorch", "ExecuTorch", ".pte", "executorch", (_EXECUTORCH,), _EXECUTORCH, _executorch, max_batch=8),
        Format("coreml", "Core ML", ".mlpackage", "executorch", (("coremltools", "coremltools"),),
               ("coremltools", "coremltools"), None, unopened="Core ML runs on Apple's systems only"),
    )
}  # fmt: skip


def format_named(name: str) -> Format:
    """The format of this name. Raises UnknownNameError."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def format_of(path: str | Path) -> Format | None:
    """The format of a file by how its name ends, None for none of them."""
    suffix = Path(path).suffix.lower()
    return next((one for one in FORMATS.values() if one.suffix == suffix), None)


def is_exported(path: str | Path) -> bool:
    """Whether a file's name ends as those of exported ones do."""
    return format_of(path) is not None
