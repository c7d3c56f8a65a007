"""OpenVINO's files, FILE.xml with FILE.bin beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from numpy.typing import NDArray

from convscale.exported.runtime import Floats, owned

METADATA = "convscale"  # under which a file's runtime information keeps ours


class OpenVino:
    """On the CPU, on so many threads, in the numbers of the file unless `precision` is "bf16": by itself OpenVINO
    rounds to bfloat16 where a processor has it."""

    def __init__(self, path: Path, threads: int, precision: str = "f32") -> None:
        core = openvino.Core()
        network = core.read_model(path)
        self.metadata: dict[str, str] = {}
        if network.has_rt_info([METADATA]):
            self.metadata = {key: str(value) for key, value in network.get_rt_info([METADATA]).value.items()}
        chosen = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
        self._request = core.compile_model(network, "CPU", chosen).create_infer_request()

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        return owned(self._request.infer({0: inputs})[0])
