"""How weights are written: in the format that the name of the file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

import safetensors.torch
import torch
from torch import Tensor

from convscale.dialects.reading import KERAS_SUFFIXES, TORCH_SUFFIXES
from convscale.errors import ConfigError

Write = Callable[[dict[str, Tensor], IO[bytes]], object]
# Of other formats: a file of such a name would not be what it says.
_OTHERS = (*TORCH_SUFFIXES, *KERAS_SUFFIXES, ".pkl", ".npz", ".npy", ".onnx", ".tflite", ".gguf", ".msgpack", ".toml",
           ".json", ".csv", ".txt")  # fmt: skip


def writer(output: Path, to: str | None) -> Write:
    """What writes tensors as the suffix of `output` says; to: the library whose file it is, None for Convscale.

    Raises ConfigError for the suffix of another format.
    """
    suffix = output.suffix.lower()
    if to is not None and suffix in TORCH_SUFFIXES:
        return torch.save
    if suffix not in _OTHERS:
        return lambda tensors, file: file.write(safetensors.torch.save(tensors, {"format": "pt"}))
    raise ConfigError(
        f"{output}: weights of {to or 'Convscale'} are not written as {suffix}",
        hint=f"name it {output.stem}.safetensors{'' if to is None else f' or {output.stem}.pth'}",
    )
