"""What a training's checkpoint says of its weights: the name of the architecture, and the arguments it was made with.

timm's train.py keeps `arch` and `args`, torchvision's references `args`, Lightning `hyper_parameters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from convscale.dialects.configs import interpolation_of, numbers, size_in, unread
from convscale.dialects.statements import Size, Statement
from convscale.networks import Padding

SOURCE = "the checkpoint's arguments"
_ARGUMENTS = ("args", "hyper_parameters", "hparams", "opt", "config", "cfg")
_ARCHITECTURE = ("arch", "architecture", "model_name", "model", "backbone", "encoder_name")


def said_beside(found: Any) -> dict[str, Any]:
    """The words and arguments that a checkpoint holds beside its tensors."""
    if not isinstance(found, dict):
        return {}
    words = {str(key): value for key, value in found.items() if isinstance(value, str)}
    for key in _ARGUMENTS:
        arguments = found.get(key)  # of a Namespace, a mapping that has its values as attributes, whatever their names
        if isinstance(arguments, dict):
            values = dict(dict.items(arguments)) | getattr(arguments, "__dict__", {})
            words |= {str(name): value for name, value in values.items() if not isinstance(value, Tensor)}
    return words


def in_checkpoint(said: Mapping[str, Any]) -> Statement | None:
    """The statement that a checkpoint makes by what `said_beside` gives; None for none."""
    names = [said[key] for key in _ARCHITECTURE if isinstance(said.get(key), str) and said[key]]
    size, crop = _timm_sizes(said)
    cut, resized = _whole(said.get("val_crop_size")), _whole(said.get("val_resize_size"))
    references = cut is not None and resized is not None and cut <= resized
    if references and cut is not None and resized is not None:
        size, crop = cut, cut / resized
    more = said.get("model_kwargs")
    more = more if isinstance(more, Mapping) else {}
    eps = numbers(said.get("bn_eps")) or numbers(more.get("bn_eps"))
    mean, std = numbers(said.get("mean")), numbers(said.get("std"))
    other = {name: said[name] for name in _OTHERWISE if name in said}
    statement = Statement(
        source=SOURCE, size=size, crop=crop, resize_rounding="nearest" if references else "down",
        interpolation=interpolation_of(said.get("interpolation")), mean=mean if std else None,
        std=std if mean else None, padding=_padding(more),
        norm_eps=eps[0] if eps else _tensorflow_eps(said) or _tensorflow_eps(more),
        weights=names[0] if names else "", dialect="torchvision" if references else "timm",
        notes=tuple(unread(other, SOURCE) + unread(more, SOURCE)),
    )  # fmt: skip
    said_enough = (names, statement.size, statement.mean, statement.norm_eps, statement.padding, statement.notes)
    return statement if any(said_enough) else None


# Options of timm's train.py by which a network computes something else.
_OTHERWISE = ("gp", "global_pool", "act_layer", "norm_layer", "aa_layer", "output_stride", "stem_type", "se_layer")


def _timm_sizes(said: Mapping[str, Any]) -> tuple[Size | None, float | None]:
    """Size of the input and crop_pct, as train.py's --img-size or --input-size and --crop-pct."""
    size = size_in(said.get("input_size")) or size_in(said.get("img_size"))
    crop = numbers(said.get("crop_pct"))
    return size, crop[0] if crop and 0.1 <= crop[0] <= 1 else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _padding(arguments: Mapping[str, Any]) -> Padding | None:
    value = arguments.get("pad_type")
    if not isinstance(value, str):
        return None
    return "same" if value.lower() == "same" else "symmetric"


def _tensorflow_eps(said: Mapping[str, Any]) -> float | None:
    return 1e-3 if said.get("bn_tf") is True else None
