"""LiteRT's files, FILE.tflite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscale.exported.runtime import Floats, owned


class LiteRt:
    """On the CPU, on so many threads. The file takes one image at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self.metadata: dict[str, str] = {}

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        rows = []
        for place in range(len(inputs)):
            self._interpreter.set_tensor(self._input, inputs[place : place + 1])
            self._interpreter.invoke()
            rows.append(owned(self._interpreter.get_tensor(self._output)))
        return np.concatenate(rows)
