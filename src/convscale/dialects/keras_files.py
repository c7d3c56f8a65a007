"""What a file of a whole Keras model says of its weights: the input's shape, and the normalisation inside."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from convscale.dialects.configs import size_in
from convscale.dialects.statements import Size, Statement
from convscale.preprocessing import IMAGENET_STD

_MOST_BYTES = 20_000_000
SHAPE, NORMALISATION = "the Keras model's input", "the Keras model's own normalisation"


def in_model(path: Path) -> Statement | None:
    """What the configuration of a .keras file, or of a whole model's .h5, says; None if there is none."""
    try:
        layers = list(_layers(_configuration(path)))
    except RecursionError:
        return None
    if not layers:
        return None
    size, notes = _resized(layers), []
    for kind, config in layers:
        if size is None and kind == "InputLayer":
            size = _side(config)
    scalings = [config for kind, config in layers if kind == "Rescaling" and not isinstance(config.get("scale"), list)]
    if len(scalings) > 1:
        notes.append(
            f"the Keras model rescales its input {len(scalings)} times: only EfficientNet's own is kept; "
            "give the rest with --mean and --std"
        )
    return Statement(source=SHAPE, size=size, dialect="keras", notes=tuple(notes))


def inside(tensors: Mapping[str, Tensor]) -> Statement | None:
    """The normalisation among the tensors of Keras's model, which expects values of 0 to 255, on values of 0 to 1 as
    here; None if there is none."""
    mean, variance = tensors.get("normalization/mean"), tensors.get("normalization/variance")
    if mean is None or variance is None:
        return None
    means, variances = tuple(mean.flatten().tolist()), tuple(variance.flatten().tolist())
    if len(variances) == 3 and all(abs(a - b) < 1e-3 for a, b in zip(variances, IMAGENET_STD, strict=True)):
        note = (
            "normalisation was inside the model, with the Rescaling that corrects its variance (tensorflow issue 49930)"
        )
        return Statement(source=NORMALISATION, mean=means, std=variances, notes=(note,))
    std = tuple(value**0.5 or 1.0 for value in variances)
    return Statement(
        source=NORMALISATION, mean=means, std=std, notes=("normalisation was inside the model, with its own values",)
    )


def _configuration(path: Path) -> Any:
    """The model's configuration as JSON has it; None for a file without one, or with one that cannot be read, which is
    no reason to refuse its weights."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                small = archive.getinfo("config.json").file_size <= _MOST_BYTES
                return json.loads(archive.read("config.json")) if small else None
        import h5py

        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            return None if text is None else json.loads(text)
    except (ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile):
        return None


def _layers(table: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(class, configuration) of every layer, models within models opened, in order."""
    config = table.get("config") if isinstance(table, Mapping) else None
    if not isinstance(config, Mapping):
        return
    yield str(table.get("class_name", "")), config
    layers = config.get("layers")
    for layer in layers if isinstance(layers, Sequence) else ():
        yield from _layers(layer)


def _resized(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Size | None:
    """What a Resizing layer makes of any input."""
    for kind, config in layers:
        if kind == "Resizing":
            return size_in([config.get("height"), config.get("width")])
    return None


def _side(config: Mapping[str, Any]) -> Size | None:
    """Of the images that an InputLayer takes, None for any."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(shape, Sequence) or len(shape) != 4:
        return None
    sides = shape[2:] if shape[1] in (1, 3) else shape[1:3]  # channels first, or last
    return size_in(sides)
