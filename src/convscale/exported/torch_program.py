"""Programs of torch.export, FILE.pt2."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from convscale.errors import ConfigError
from convscale.exported.runtime import Floats, owned

METADATA = "convscale.json"  # the file in the archive that keeps ours
OLDEST = (2, 8)  # reads what other versions from then on write


class TorchProgram:
    """In PyTorch, on its own threads."""

    def __init__(self, path: Path, threads: int) -> None:
        if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
            raise ConfigError(
                f"{path}: PyTorch {torch.__version__} reads no .pt2 file of another version",
                hint="pip install 'torch>=2.8'",
            )
        kept = {METADATA: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own parts
            self._module = torch.export.load(path, extra_files=kept).module()
        self.metadata: dict[str, str] = json.loads(kept[METADATA] or "{}")

    @torch.inference_mode()
    def __call__(self, inputs: NDArray[Any]) -> Floats:
        return owned(self._module(torch.from_numpy(inputs)).numpy())
