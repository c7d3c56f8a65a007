"""Weights of other libraries: safetensors, PyTorch files, Keras HDF5, TensorFlow checkpoints -> tensors by name.

Nothing in a file is ever run: pickles are read as weights only.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from convscale.dialects.checkpoints import said_beside
from convscale.dialects.containers import Opened, open_container
from convscale.dialects.pickles import SAVE_STATE, is_pickle, load_pickle
from convscale.errors import MissingExtraError, RunError

MAX_TENSORS = 20_000
MAX_GROWTH = 20  # an archive unpacks to at most this many times its size
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".tar", ".ckpt", ".th")
_NOT_WEIGHTS = ("num_batches_tracked",)


class Foreign(NamedTuple):
    """A file of another library: its tensors by their own names, its sha256, and the choices made in reading it.

    averages: the key that averages of weights were read from. prefix: what stood before each name. unused: the file's
    other tensors. said: the metadata and arguments in the checkpoint.
    """

    path: Path
    tensors: dict[str, Tensor]
    sha256: str
    notes: tuple[str, ...] = ()
    averages: str | None = None
    prefix: str = ""
    unused: tuple[str, ...] = ()
    said: Mapping[str, Any] = MappingProxyType({})


def read_foreign(path: str | Path) -> Foreign:
    """The tensors of a weights file, or of a TensorFlow checkpoint by its prefix.

    Raises RunError for a file that is missing, damaged, holds code, or no floating-point tensors; MissingExtraError
    where reading its format needs a library that is not installed.
    """
    path = Path(path)
    index = path.with_name(f"{path.name}.index")
    if not path.is_file() and index.is_file():
        return _foreign(path, _tensorflow(path), sha256_of(*sorted(path.parent.glob(f"{path.name}.*"))))
    if not path.is_file():
        raise RunError(f"{path}: no such file", hint="name a weights file, or the prefix of a TensorFlow checkpoint")
    return _foreign(path, _reader(path)(path), sha256_of(path))


def _foreign(path: Path, read: Opened, sha256: str) -> Foreign:
    tensors = _checked(path, read.tensors)
    return Foreign(path, tensors, sha256, read.notes, read.averages, read.prefix, read.unused, read.said)


def _reader(path: Path) -> Callable[[Path], Opened]:
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _safetensors
    if suffix in (".h5", ".hdf5", ".keras"):
        return _keras
    if suffix in TORCH_SUFFIXES or is_pickle(path):
        return _torch
    raise RunError(
        f"{path}: {suffix or 'no suffix'} is not a weights format that can be read",
        hint=f".safetensors, {', '.join(TORCH_SUFFIXES)}, .h5, .keras, or the prefix of a TensorFlow checkpoint",
    )


def _safetensors(path: Path) -> Opened:
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None
    return open_container(tensors, str(path))


def _torch(path: Path) -> Opened:
    """A pickle of tensors, alone or in a training's checkpoint."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _require_plain(path, sum(member.file_size for member in archive.infolist()))
        found, classes = load_pickle(path)
    except RunError:
        raise
    except pickle.UnpicklingError:
        raise RunError(
            f"{path}: the pickle holds more than tensors and plain values: refused", hint=SAVE_STATE
        ) from None
    except (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise RunError(f"{path}: damaged, or not a PyTorch file: {first_line(error)}") from None
    opened = open_container(found, str(path))
    objects = ", ".join(classes[:5]) + ", ..." * (len(classes) > 5)
    bags = (f"neither read nor run: objects of {objects}",) if classes else ()
    return replace(opened, notes=(*opened.notes, *bags), said=said_beside(found))


def _keras(path: Path) -> Opened:
    """Keras 3 (.keras, .weights.h5) and the older .h5: each layer's variables under the layer's own name."""
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "keras", f"reading {path.suffix} files") from None
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                _require_plain(path, archive.getinfo("model.weights.h5").file_size)
                content = archive.read("model.weights.h5")
                averaging = (
                    b'"use_ema": true' in archive.read("config.json") if "config.json" in archive.namelist() else False
                )
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


def _keras_model(path: Path, file: Any, averaging: bool = False) -> Opened:
    """The layers of a model, and the averages of them where its optimizer keeps those by name. averaging: it keeps
    them (use_ema), but under numbers in .keras files."""
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if hasattr(item, "shape") else None)
    _require_plain(path, sum(item.nbytes for item in found.values()))
    tensors = dict(_variables({name: item for name, item in found.items() if not name.startswith(_OPTIMIZER)}))
    averages = {
        name: torch.from_numpy(np.asarray(item[()]))
        for name, item in found.items() if name.startswith(_OPTIMIZER) and name.endswith(_KERAS_AVERAGE)
    }  # fmt: skip
    if averaging:
        return Opened(tensors, notes=(_NUMBERED_AVERAGES,))
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
_OPTIMIZER = ("optimizer_weights/", "optimizer/")
_KERAS_AVERAGE = "_average"


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


def _tensorflow(path: Path) -> Opened:
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
        raise RunError(f"{path}: damaged, or not a TensorFlow checkpoint: {error}") from None
    tensors = {}
    for name, value in kept.items():
        if getattr(value, "dtype", None) is not None and value.dtype.kind == "f":
            inner = name.split("/", 1)[1] if "/" in name else name
            tensors[inner.replace("tpu_batch_normalization", "batch_normalization")] = torch.from_numpy(value.copy())
    note = f"moving averages used for {len(averaged)} of {len(kept)} tensors, as in the reference code's evaluation"
    if not averaged:
        return Opened(tensors, notes=("the checkpoint has no moving averages: the raw weights are used",))
    return Opened(tensors, averages=_AVERAGE, notes=(note,))


_AVERAGE = "ExponentialMovingAverage"


def _checked(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors as float32. Raises RunError for none, too many, and for values that are no numbers."""
    kept = {name: value for name, value in tensors.items() if value.is_floating_point()}
    if not kept or len(kept) > MAX_TENSORS:
        raise RunError(f"{path}: {len(kept)} tensors of floating-point numbers", hint="is it a weights file?")
    for name, value in kept.items():
        if value.is_meta:
            raise RunError(
                f"{path}: {name} has a shape but no values", hint="save the model from a real device, not from meta"
            )
        if value.layout != torch.strided:
            raise RunError(f"{path}: {name} is a sparse tensor", hint="save it dense: tensor.to_dense()")
        kept[name] = value.to(torch.float32)
        if not torch.isfinite(kept[name]).all():
            raise RunError(f"{path}: {name} holds NaN or infinite values, as float32")
    return {name: value for name, value in kept.items() if not name.endswith(_NOT_WEIGHTS)}


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
