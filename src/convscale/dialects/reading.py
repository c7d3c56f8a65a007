"""Weights of other libraries: safetensors, PyTorch files, Keras HDF5, TensorFlow checkpoints -> tensors by name.

Nothing in a file is ever run: pickles are read as weights only.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from convscale.errors import MissingExtraError, RunError

MAX_TENSORS = 20_000
MAX_GROWTH = 20  # an archive unpacks to so many times its size at most
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".tar", ".ckpt", ".th")
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net")
_NOT_WEIGHTS = ("num_batches_tracked",)


class Foreign(NamedTuple):
    """A file of another library: its tensors as stored, its sha256, and what reading it had to choose."""

    path: Path
    tensors: dict[str, Tensor]
    sha256: str
    notes: tuple[str, ...] = ()


def read_foreign(path: str | Path) -> Foreign:
    """The tensors of a weights file, or of a TensorFlow checkpoint by its prefix.

    Raises RunError for a file that is missing, damaged, holds code, or no floating-point tensors; MissingExtraError
    where reading its format needs a library that is not installed.
    """
    path = Path(path)
    index = path.with_name(f"{path.name}.index")
    if not path.is_file() and index.is_file():
        tensors, notes = _tensorflow(path)
        return Foreign(path, _checked(path, tensors), sha256_of(*sorted(path.parent.glob(f"{path.name}.*"))), notes)
    if not path.is_file():
        raise RunError(f"{path}: no such file", hint="a weights file, or the prefix of a TensorFlow checkpoint")
    read = _reader(path)
    tensors, notes = read(path)
    return Foreign(path, _checked(path, tensors), sha256_of(path), notes)


Read = tuple[dict[str, Tensor], tuple[str, ...]]


def _reader(path: Path) -> Callable[[Path], Read]:
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _safetensors
    if suffix in (".h5", ".hdf5", ".keras"):
        return _keras
    if suffix in TORCH_SUFFIXES:
        return _torch
    raise RunError(
        f"{path}: {suffix or 'no suffix'} is not a format of weights that can be read",
        hint=f".safetensors, {', '.join(TORCH_SUFFIXES)}, .h5, .keras, or the prefix of a TensorFlow checkpoint",
    )


def _safetensors(path: Path) -> Read:
    try:
        return safetensors.torch.load_file(path), ()
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None


def _torch(path: Path) -> Read:
    """A pickle of tensors, alone or in a training's checkpoint."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _require_plain(path, sum(member.file_size for member in archive.infolist()))
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except RunError:
        raise
    except pickle.UnpicklingError:
        raise RunError(
            f"{path}: the pickle holds more than tensors, and what it holds would be run: refused",
            hint="have whoever made it save model.state_dict(), best as safetensors",
        ) from None
    except (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise RunError(f"{path}: damaged, or no PyTorch file: {first_line(error)}") from None
    notes: tuple[str, ...] = ()
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found, notes = found[wrapper], (*notes, f"read from the checkpoint's {wrapper!r}")
    if not isinstance(found, Mapping):
        raise RunError(f"{path}: holds {type(found).__name__}, not tensors by name")
    prefix = "module." if found and all(str(key).startswith("module.") for key in found) else ""
    return {str(key).removeprefix(prefix): value for key, value in found.items() if isinstance(value, Tensor)}, notes


def _keras(path: Path) -> Read:
    """Keras 3 (.keras, .weights.h5) and the older .h5: each layer's variables under the layer's own name."""
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "keras", f"reading {path.suffix} files") from None
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                _require_plain(path, archive.getinfo("model.weights.h5").file_size)
                content = archive.read("model.weights.h5")
            with h5py.File(io.BytesIO(content), "r") as file:
                return dict(_variables(path, file)), ()
        with h5py.File(path, "r") as file:
            return dict(_variables(path, file)), ()
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
    ) as error:
        raise RunError(f"{path}: damaged, or not a file of Keras: {first_line(error)}") from None


def _require_plain(path: Path, unpacked: int) -> None:
    """Weights hardly shrink: raise RunError for a file that unpacks to many times its size."""
    size = path.stat().st_size
    if unpacked > MAX_GROWTH * size:
        raise RunError(f"{path}: {size:,} bytes that would unpack to {unpacked:,}: refused")


# Keras 3 numbers a layer's variables; these are their names in that order, by the layer's class.
_NUMBERED = {
    "normalization": ("mean", "variance", "count"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}


def _variables(path: Path, file: Any) -> Iterator[tuple[str, Tensor]]:
    """(layer/variable, tensor) of a Keras file. Keras 3 says "conv2d_7/vars/0", older files "top_conv/kernel"."""
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if hasattr(item, "shape") else None)
    _require_plain(path, sum(item.nbytes for item in found.values()))
    for name, item in found.items():
        *groups, variable = name.split("/")
        if variable.isdecimal():
            layer = groups[-2] if groups[-1:] == ["vars"] and len(groups) > 1 else ""
            names = _NUMBERED.get(re.sub(r"_\d+$", "", layer), ())
            if int(variable) >= len(names):
                continue  # of an optimizer, a random generator
            variable = names[int(variable)]
        else:
            layer, variable = groups[-1] if groups else "", variable.split(":")[0]
            if layer.endswith("dwconv") and variable == "kernel":
                variable = "depthwise_kernel"
        if layer.startswith("normalization_"):  # numbered where a program builds several models
            layer = "normalization"
        yield f"{layer}/{variable}", torch.from_numpy(np.asarray(item[()]))


def _tensorflow(path: Path) -> Read:
    """A checkpoint of the reference code: the moving averages of the weights where it has them."""
    try:
        import tensorflow
    except ImportError:
        raise MissingExtraError("tensorflow", "tensorflow", "reading TensorFlow checkpoints") from None
    try:
        reader = tensorflow.train.load_checkpoint(str(path))
        names = set(reader.get_variable_to_shape_map())
        averaged = {name for name in names if f"{name}/{_AVERAGE}" in names}
        kept = {
            name: reader.get_tensor(f"{name}/{_AVERAGE}" if name in averaged else name)
            for name in names
            if not name.endswith(_AVERAGE) and "/RMSProp" not in name and "/Momentum" not in name
        }
    except (tensorflow.errors.OpError, ValueError) as error:
        raise RunError(f"{path}: damaged, or not a checkpoint of TensorFlow: {error}") from None
    tensors = {}
    for name, value in kept.items():
        if getattr(value, "dtype", None) is not None and value.dtype.kind == "f":
            inner = name.split("/", 1)[1] if "/" in name else name
            tensors[inner.replace("tpu_batch_normalization", "batch_normalization")] = torch.from_numpy(value.copy())
    note = f"moving averages taken for {len(averaged)} of {len(kept)} tensors, as the reference code evaluates"
    return tensors, (note,) if averaged else ("the checkpoint has no moving averages: the raw weights are taken",)


_AVERAGE = "ExponentialMovingAverage"


def _checked(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors as float32. Raises RunError for none, too many, and for values that are no numbers."""
    kept = {name: value for name, value in tensors.items() if value.is_floating_point()}
    if not kept or len(kept) > MAX_TENSORS:
        raise RunError(f"{path}: {len(kept)} tensors of floating-point numbers", hint="is it a file of weights?")
    for name, value in kept.items():
        if not torch.isfinite(value).all():
            raise RunError(f"{path}: {name} holds NaN or infinite values")
    return {name: value.to(torch.float32) for name, value in kept.items() if not name.endswith(_NOT_WEIGHTS)}


def first_line(error: Exception) -> str:
    """What an error of another library says first."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def sha256_of(*paths: Path) -> str:
    """Of the files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
