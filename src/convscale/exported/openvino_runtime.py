"""OpenVINO's files, FILE.xml with FILE.bin beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from convscale.exported.runtime import Floats, owned
from convscale.exported.signal_stack import signal_stack_kept

METADATA = "convscale"  # under which a file's runtime information keeps ours


class OpenVino:
    """On the CPU, on so many threads, in the numbers of the network unless `precision` is "bf16": by itself OpenVINO
    rounds to bfloat16 where a processor has it.

    source: a file, or a network of OpenVINO's, which `kept` may lend its memory. Compiled for the first size of batch
    that it sees, and once more for any other: compiled for one size, B0 takes 5 % less time than compiled for any.
    """

    def __init__(self, source: Any, threads: int, precision: str = "f32", kept: object = None) -> None:
        import openvino

        self._core, self._kept = openvino.Core(), kept
        self._network = self._core.read_model(source) if isinstance(source, Path) else source
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other processes may be on the core that it would choose
        }
        self._first: tuple[tuple[int, ...], Any] | None = None
        self._any: Any = None
        self.metadata: dict[str, str] = {}
        if self._network.has_rt_info([METADATA]):
            self.metadata = {key: str(value) for key, value in self._network.get_rt_info([METADATA]).value.items()}

    @property
    def takes_pixels(self) -> bool:
        """Whether its input is uint8 pixels, because the file holds the preprocessing."""
        return bool(self._network.inputs[0].get_element_type().get_type_name() == "u8")

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        request = self._request(inputs.shape)
        request.infer({0: inputs}, share_inputs=False, share_outputs=False)
        return owned(request.get_output_tensor(0).data)

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
        with signal_stack_kept():
            return self._core.compile_model(network, "CPU", self._options).create_infer_request()
