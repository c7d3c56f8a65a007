"""Weights in Keras's HDF5 files: each layer's variables under the layer's own name, and averages of them."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscale.dialects.checking import first_line, require_plain
from convscale.dialects.containers import Opened
from convscale.errors import MissingExtraError, RunError


def is_keras(path: Path) -> bool:
    """Whether a file of any name is HDF5, or an archive as Keras 3 writes it."""
    with suppress(zipfile.BadZipFile, NotImplementedError, ValueError), zipfile.ZipFile(path) as archive:
        return _WEIGHTS in archive.namelist()
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"


def read_keras(path: Path) -> Opened:
    """Keras 3 (.keras, .weights.h5) and the older .h5: each layer's variables under the layer's own name."""
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "keras", f"reading {path.suffix} files") from None
    try:
        if path.suffix.lower() == ".keras" or zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                require_plain(path, sum(member.file_size for member in archive.infolist()))
                content = archive.read(_WEIGHTS)
                averaging = _CONFIG in archive.namelist() and b'"use_ema": true' in archive.read(_CONFIG)
            with h5py.File(io.BytesIO(content), "r") as file:
                return _keras_model(path, file, averaging)
        with h5py.File(path, "r") as file:
            return _keras_model(path, file)
    except RunError:
        raise
    except (
        LookupError,
        NotImplementedError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise RunError(f"{path}: damaged, or not a Keras file: {first_line(error)}") from None


def _keras_model(path: Path, file: Any, averaging: bool | None = None) -> Opened:
    """The layers of a model, and the averages of them where its optimizer keeps those by name. averaging: whether it
    keeps them (use_ema) under numbers, as in .keras files; None where no configuration says that."""
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if hasattr(item, "shape") else None)
    require_plain(path, sum(item.nbytes for item in found.values()))
    tensors = dict(_variables({name: item for name, item in found.items() if not name.startswith(_OPTIMIZER)}))
    averages = {
        name: torch.from_numpy(np.asarray(item[()]))
        for name, item in found.items() if name.startswith(_OPTIMIZER) and name.endswith(_KERAS_AVERAGE)
    }  # fmt: skip
    if averaging:
        return Opened(tensors, notes=(_NUMBERED_AVERAGES,))
    numbered = [item for name, item in found.items() if name.startswith("optimizer/vars/") and item.ndim > 1]
    if numbered and averaging is None:
        return Opened(tensors, notes=(_PERHAPS_AVERAGES,))
    if not any(value.any() for value in averages.values()):  # none, or not begun
        return Opened(tensors)
    taken = {}
    for name in tensors:
        end = f"/{name.replace('/', '_').replace('depthwise_kernel', 'kernel')}{_KERAS_AVERAGE}"
        matching = [value for key, value in averages.items() if key.endswith(end)]
        if len(matching) == 1 and matching[0].shape == tensors[name].shape:
            taken[name] = matching[0]
    note = f"averages of weights used for {len(taken)} of {len(tensors)} tensors, from the optimizer"
    return Opened(tensors | taken, averages=next(iter(averages)).rpartition("/")[0], notes=(note,))


_NUMBERED_AVERAGES = (
    "the optimizer's averages (use_ema) have no names here and are ignored: the model's own weights are used, which "
    "are the averages if fit has ended or SwapEMAWeights put them there"
)
_PERHAPS_AVERAGES = (
    "the optimizer's variables have no names here: if it keeps averages (use_ema), they are ignored, and the model's "
    "own weights are used"
)
_OPTIMIZER = ("optimizer_weights/", "optimizer/")
_KERAS_AVERAGE = "_average"


# Keras 3 numbers a layer's variables; these are their names in that order, by the layer's class.
_NUMBERED = {
    "normalization": ("mean", "variance", "count"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}


def _variables(found: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """(layer/variable, tensor) of a Keras file. Keras 3 says "conv2d_7/vars/0", older files "top_conv/kernel"."""
    for name, item in found.items():
        *groups, variable = name.split("/")
        if variable.isdecimal():
            layer = groups[-2] if groups[-1:] == ["vars"] and len(groups) > 1 else ""
            names = _NUMBERED.get(re.sub(r"_\d+$", "", layer), ())
            if int(variable) >= len(names):
                continue  # of a random generator
            variable = names[int(variable)]
        else:
            layer, variable = groups[-1] if groups else "", variable.split(":")[0]
            if layer.endswith("dwconv") and variable == "kernel":
                variable = "depthwise_kernel"
        if layer.startswith("normalization_"):  # numbered where a program builds several models
            layer = "normalization"
        yield f"{layer}/{variable}", torch.from_numpy(np.asarray(item[()]))
