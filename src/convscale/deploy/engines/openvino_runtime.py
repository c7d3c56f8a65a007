"""Engine `openvino`: OpenVINO on the CPU, from a model or from an exported file, which needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convscale.deploy.engines.protocol import Dtype, Floats

if TYPE_CHECKING:
    from convscale.nn import Model

_HINTS: dict[Dtype, str] = {"float32": "f32", "int8": "f32", "bfloat16": "bf16"}  # of int8 what is not quantised
METADATA = "convscale"  # under which an exported file's runtime information keeps what it says about itself


class OpenVINOEngine:
    """A network of OpenVINO's: compiled for the first size of batch that it sees, and once more for any other.

    Compiled for one size, B0 takes 5 % less time than compiled for any. `kept` is whatever lends `network` its memory.
    """

    name = "openvino"

    def __init__(self, network: Any, threads: int, dtype: Dtype = "float32", kept: object = None) -> None:
        import openvino

        self._core, self._network, self._kept = openvino.Core(), network, kept
        self.dtype, self.threads = dtype, threads
        self._first: tuple[tuple[int, ...], Any] | None = None
        self._any: Any = None
        self.metadata = _metadata(network)

    @property
    def takes_pixels(self) -> bool:
        """Whether its input is uint8 pixels, because the file holds the preprocessing."""
        return bool(self._network.inputs[0].get_element_type().get_type_name() == "u8")

    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) -> logits (n, classes)."""
        given = np.ascontiguousarray(images, np.uint8 if self.takes_pixels else np.float32)
        request = self._request(given.shape)
        request.infer({0: given}, share_inputs=False, share_outputs=False)
        return np.array(request.get_output_tensor(0).data, np.float32)  # a copy: the runtime writes over its own

    def _request(self, shape: tuple[int, ...]) -> Any:
        if self._first is None:
            fixed = self._network.clone()
            fixed.reshape(list(shape))
            self._first = shape, self._compiled(fixed)
        if self._first[0] == shape:
            return self._first[1]
        if self._any is None:
            self._any = self._compiled(self._network)
        return self._any

    def _compiled(self, network: Any) -> Any:
        options = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": _HINTS[self.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other processes may be on the core that it would choose
        }
        return self._core.compile_model(network, "CPU", options).create_infer_request()


def open_model(model: Model, threads: int, dtype: Dtype) -> OpenVINOEngine:
    """The model in OpenVINO's operations, in memory."""
    from convscale.deploy.conversion.openvino_files import as_openvino
    from convscale.deploy.conversion.plain import plain
    from convscale.deploy.engines.eager import image_side

    given = plain(model, side=image_side(model))
    return OpenVINOEngine(as_openvino(given, {}), threads, dtype, kept=given)


def open_xml(path: Path, threads: int, dtype: Dtype) -> OpenVINOEngine:
    """The network of an exported file, FILE.xml with FILE.bin beside it."""
    import openvino

    return OpenVINOEngine(openvino.Core().read_model(path), threads, dtype)


def _metadata(network: Any) -> dict[str, str]:
    if not network.has_rt_info(METADATA):
        return {}
    return {key: str(value) for key, value in network.get_rt_info(METADATA).value.items()}
