"""ExecuTorch's files, FILE.pte, which its runtime for phones and boards runs here too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from convscale.exported.runtime import Floats, owned


class ExecuTorch:
    """On the CPU, by XNNPACK, on threads of its own choice."""

    def __init__(self, path: Path, threads: int) -> None:
        from executorch.runtime import Runtime

        self._program = Runtime.get().load_program(path)
        self._method = self._program.load_method("forward")
        self.metadata: dict[str, str] = {}

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        return owned(self._method.execute([torch.from_numpy(inputs)])[0].numpy())
