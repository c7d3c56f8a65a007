"""Weights of other libraries: safetensors, PyTorch files, Keras HDF5, TensorFlow checkpoints -> tensors by name.

Nothing in a file is ever run: pickles are read as weights only.
"""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from convscale.dialects.checking import checked, first_line, require_plain
from convscale.dialects.checkpoints import said_beside
from convscale.dialects.containers import Opened, open_container
from convscale.dialects.keras_reading import is_keras, read_keras
from convscale.dialects.pickles import SAVE_STATE, is_pickle, load_pickle
from convscale.errors import ConfigError, MissingExtraError, RunError
from convscale.files import sha256_of
from convscale.headers import is_safetensors

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".tar", ".ckpt", ".th")


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


def read_foreign(path: str | Path, key: str | None = None) -> Foreign:
    """The tensors of a weights file, or of a TensorFlow checkpoint by its prefix. key: where in the file the network
    is, as the dotted path of its keys.

    Raises RunError for a file that is missing, damaged, one part of several, holds code, no or quantised tensors, or no
    network at `key`; ConfigError for a key of a format that has none; MissingExtraError where reading its format needs
    a library that is not installed.
    """
    path = Path(path)
    index = path.with_name(f"{path.name}.index")
    if not path.is_file() and index.is_file():
        _require_no_key(path, key)
        return _foreign(path, _tensorflow(path), sha256_of(*sorted(path.parent.glob(f"{path.name}.*"))))
    if not path.is_file():
        raise RunError(f"{path}: no such file", hint="name a weights file, or the prefix of a TensorFlow checkpoint")
    require_whole(path)
    return _foreign(path, _read(path, key), sha256_of(path))


def _require_no_key(path: Path, key: str | None) -> None:
    if key is not None:
        raise ConfigError(
            f"{path}: --key {key} has no meaning here", hint="it is for PyTorch and safetensors files alone"
        )


def require_whole(path: Path) -> None:
    """Raise RunError for one of several files that hold a network's tensors together, naming those that are missing."""
    part = _PART.search(path.name)
    if part is None or int(part[2]) < 2:
        return
    count, begin = int(part[2]), path.name[: part.start(1)]
    names = [f"{begin}{number:0{len(part[1])}}{path.name[part.end(1) :]}" for number in range(1, min(count, 99) + 1)]
    missing = [name for name in names if not path.with_name(name).is_file()]
    state = f"{', '.join(missing[:3])}{', ...' * (len(missing) > 3)} missing" if missing else "the others are beside it"
    raise RunError(
        f"{path}: one of {count} parts of a network's weights; {state}",
        hint="save the network as one file: model.save_pretrained(FOLDER, max_shard_size='100GB')",
    )


_PART = re.compile(r"-(\d+)-of-(\d+)(?=\.)")


def _foreign(path: Path, read: Opened, sha256: str) -> Foreign:
    tensors = checked(path, read.tensors)
    return Foreign(path, tensors, sha256, read.notes, read.averages, read.prefix, read.unused, read.said)


def _read(path: Path, key: str | None) -> Opened:
    """By its content, whatever its name; by its name where the content is damaged."""
    suffix = path.suffix.lower()
    if is_safetensors(path):
        return _safetensors(path, key)
    if is_pickle(path):
        return _torch(path, key)
    if suffix in KERAS_SUFFIXES or is_keras(path):
        _require_no_key(path, key)
        return read_keras(path)
    if suffix == ".safetensors":
        return _safetensors(path, key)
    if suffix in TORCH_SUFFIXES:
        return _torch(path, key)
    raise RunError(
        f"{path}: {suffix or 'no suffix'} is not a weights format that can be read",
        hint=f".safetensors, {', '.join(TORCH_SUFFIXES)}, .h5, .keras, or the prefix of a TensorFlow checkpoint",
    )


def _safetensors(path: Path, key: str | None) -> Opened:
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None
    return open_container(tensors, str(path), key)


def _torch(path: Path, key: str | None) -> Opened:
    """A pickle of tensors, alone or in a training's checkpoint."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                require_plain(path, sum(member.file_size for member in archive.infolist()))
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
    opened = open_container(found, str(path), key)
    objects = ", ".join(classes[:5]) + ", ..." * (len(classes) > 5)
    bags = (f"neither read nor run: objects of {objects}",) if classes else ()
    return replace(opened, notes=(*opened.notes, *bags), said=said_beside(found))


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
