"""ONNX files, by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from convscale.exported.runtime import Floats, owned

ERRORS_ONLY = 3


class OnnxRuntime:
    """A session on the CPU, on so many threads, of a file or of its content."""

    def __init__(self, source: Path | bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = ERRORS_ONLY
        # Threads that have nothing to do sleep: others that are timed beside them, and other processes, compute.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        given = source if isinstance(source, bytes) else str(source)
        self._session: Any = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    @property
    def takes_pixels(self) -> bool:
        """Whether its input is uint8 pixels, because the file holds the preprocessing."""
        return bool(self._input.type == "tensor(uint8)")

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        return owned(self._session.run(None, {self._input.name: inputs})[0])
