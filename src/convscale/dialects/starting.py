"""Weights to start from: a run, a file, or a name that weights are published under."""

from __future__ import annotations

import os
from pathlib import Path

from convscale.dialects.hub_weights import find_weights, get_weights
from convscale.errors import RunError, UnknownNameError

_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".h5", ".keras", ".npz", ".tflite")


def find_weights_file(source: str | Path) -> Path:
    """The weights that `source` names: an existing run folder or file, else published weights, by a name from
    `list_weights` or a network, fetched and kept as `get_weights` does.

    Raises RunError for a path that does not exist, UnknownNameError with the nearest names for anything else,
    and as `get_weights`.
    """
    path, name = Path(source), str(source)
    if not name.strip():
        raise RunError(
            "--weights: the name is empty", hint="a run, a weights file, or a name from convscale weights list"
        )
    if path.exists():
        return path
    if os.sep in name or path.suffix in _FILES:
        raise RunError(
            f"{name}: no such run folder or weights file", hint="convscale weights list shows published weights"
        )
    try:
        find_weights(name)
    except UnknownNameError as error:
        raise UnknownNameError(
            "weights",
            name,
            (),
            hint=error.hint or "name a run, a weights file, or weights from: convscale weights list",
        ) from None
    return get_weights(name)
