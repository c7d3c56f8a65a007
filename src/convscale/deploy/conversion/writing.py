"""The format's name to what writes its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from convscale.deploy.conversion.onnx_files import as_onnx, save_onnx
from convscale.deploy.conversion.openvino_files import as_openvino, save_openvino
from convscale.deploy.conversion.plain import Plain
from convscale.deploy.conversion.torch_files import save_coreml, save_executorch, save_litert, save_program

Write = Callable[[Plain, Path, Mapping[str, str]], None]


def _onnx(given: Plain, path: Path, metadata: Mapping[str, str]) -> None:
    save_onnx(as_onnx(given, metadata), path)


def _openvino(given: Plain, path: Path, metadata: Mapping[str, str]) -> None:
    save_openvino(as_openvino(given, metadata), path)


WRITERS: dict[str, Write] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torch": save_program,
    "litert": save_litert,
    "executorch": save_executorch,
    "coreml": save_coreml,
}
