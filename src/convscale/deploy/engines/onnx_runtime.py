"""Engine `onnxruntime`: ONNX Runtime on the CPU, from a model or from an exported file, which needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convscale.deploy.engines.protocol import Dtype, Floats

if TYPE_CHECKING:
    from convscale.nn import Model

ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """A session of ONNX Runtime. metadata: what the file says about itself."""

    name = "onnxruntime"

    def __init__(self, source: bytes | Path, threads: int, dtype: Dtype = "float32") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = ERRORS_ONLY
        # Threads that have nothing to do sleep: others that are timed beside them, and other processes, compute.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        given = source if isinstance(source, bytes) else str(source)
        self._session: Any = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self.dtype, self.threads = dtype, threads
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    @property
    def takes_pixels(self) -> bool:
        """Whether its input is uint8 pixels, because the file holds the preprocessing."""
        return bool(self._input.type == "tensor(uint8)")

    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        given = np.ascontiguousarray(images, np.uint8 if self.takes_pixels else np.float32)
        return np.array(self._session.run(None, {self._input.name: given})[0], np.float32)


def open_model(model: Model, threads: int, dtype: Dtype) -> OnnxRuntimeEngine:
    """The model as ONNX, in memory, in a session."""
    from convscale.deploy.conversion.onnx_files import as_onnx
    from convscale.deploy.conversion.plain import plain
    from convscale.deploy.engines.eager import image_side

    return OnnxRuntimeEngine(as_onnx(plain(model, side=image_side(model)), {}).SerializeToString(), threads, dtype)
