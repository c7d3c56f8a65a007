"""ONNX files, by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from convscale.exported.runtime import Floats, owned

ERRORS_ONLY = 3


class OnnxRuntime:
    """On the CPU, on so many threads."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        return owned(self._session.run(None, {self._input: inputs})[0])
