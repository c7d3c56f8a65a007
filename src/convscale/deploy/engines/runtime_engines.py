"""Engines `onnxruntime` and `openvino`: from a model, or from an exported file, which needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convscale.deploy.engines.protocol import Dtype, Floats
from convscale.exported.onnx_runtime import OnnxRuntime
from convscale.exported.openvino_runtime import OpenVino

if TYPE_CHECKING:
    from convscale.nn import Model

_HINTS: dict[Dtype, str] = {"float32": "f32", "int8": "f32", "bfloat16": "bf16"}  # of int8 what is not quantised


class RuntimeEngine:
    """A runtime as an engine. metadata: what an exported file says about itself."""

    def __init__(self, name: str, runtime: OnnxRuntime | OpenVino, threads: int, dtype: Dtype) -> None:
        self.name, self.threads, self.dtype = name, threads, dtype
        self._runtime, self.metadata = runtime, runtime.metadata

    @property
    def takes_pixels(self) -> bool:
        """Whether its input is uint8 pixels, because the file holds the preprocessing."""
        return self._runtime.takes_pixels

    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        return self._runtime(np.ascontiguousarray(images, np.uint8 if self.takes_pixels else np.float32))


def open_onnx(path: Path, threads: int, dtype: Dtype) -> RuntimeEngine:
    """FILE.onnx in ONNX Runtime."""
    return RuntimeEngine("onnxruntime", OnnxRuntime(path, threads), threads, dtype)


def open_xml(path: Path, threads: int, dtype: Dtype) -> RuntimeEngine:
    """FILE.xml, with FILE.bin beside it, in OpenVINO."""
    return RuntimeEngine("openvino", OpenVino(path, threads, _HINTS[dtype]), threads, dtype)


def model_as_onnx(model: Model, threads: int, dtype: Dtype) -> RuntimeEngine:
    """The model as ONNX, in memory, in ONNX Runtime."""
    from convscale.deploy.conversion.onnx_files import as_onnx
    from convscale.deploy.conversion.plain import plain
    from convscale.deploy.engines.eager import image_side

    content = as_onnx(plain(model, side=image_side(model)), {}).SerializeToString()
    return RuntimeEngine("onnxruntime", OnnxRuntime(content, threads), threads, dtype)


def model_as_openvino(model: Model, threads: int, dtype: Dtype) -> RuntimeEngine:
    """The model in OpenVINO's operations, in memory."""
    from convscale.deploy.conversion.openvino_files import as_openvino
    from convscale.deploy.conversion.plain import plain
    from convscale.deploy.engines.eager import image_side

    given = plain(model, side=image_side(model))
    network = as_openvino(given, {})
    return RuntimeEngine("openvino", OpenVino(network, threads, _HINTS[dtype], kept=given), threads, dtype)
