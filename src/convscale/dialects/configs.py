"""The files that libraries keep beside weights: config.json of timm and transformers, preprocessor_config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from convscale.dialects.statements import Statement, Values
from convscale.errors import ConfigError
from convscale.files import read_json
from convscale.networks import Padding

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_MOST_BYTES = 20_000_000  # 21,843 classes by name
_PIL: dict[Any, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


def beside(weights: Path) -> list[Statement]:
    """What the configurations in the folder of a weights file say; empty if there are none.

    Raises ConfigError for one that is not JSON and for an input that is not square.
    """
    found = []
    for name, read in ((PREPROCESSOR, _preprocessor), (CONFIG, _config)):
        path = weights.parent / name
        if path.is_file():
            table = read_json(path, _MOST_BYTES)
            if isinstance(table, Mapping):
                found += [read(table)]
    return [statement for statement in found if statement is not None]


def square(height: Any, width: Any, source: str) -> int | None:
    """The side of a square in pixels, None for none. Raises ConfigError for a rectangle."""
    if not (isinstance(height, int) and isinstance(width, int)) or min(height, width) < 1:
        return None
    if height != width:
        raise ConfigError(
            f"{source}: its input is {height} x {width} pixels, but Convscale's inputs are square",
            hint="set --resolution PX, one side",
        )
    return height


def interpolation_of(value: Any) -> Literal["bilinear", "bicubic"] | None:
    """As a library writes it; None for one that Convscale has not."""
    known: dict[Any, Literal["bilinear", "bicubic"]] = {"bilinear": "bilinear", "bicubic": "bicubic", **_PIL}
    return known.get(value) if isinstance(value, str | int) else None


def numbers(value: Any) -> Values | None:
    """A finite number or a list of them; None for anything else."""
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    good = values and all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in values
    )
    return tuple(float(one) for one in values) if good else None


def texts(value: Any) -> tuple[str, ...] | None:
    """A list of names; None for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
        return None
    return tuple(value) or None


def _config(table: Mapping[str, Any]) -> Statement | None:
    if "architecture" in table or isinstance(table.get("pretrained_cfg"), Mapping):
        return _timm(table, CONFIG)
    return _transformers(table) if "model_type" in table else None


def _timm(table: Mapping[str, Any], source: str) -> Statement:
    """timm's: what the weights are prepared with is in `pretrained_cfg`, or, as it once was, beside `architecture`."""
    inner = table.get("pretrained_cfg")
    cfg: Mapping[str, Any] = inner if isinstance(inner, Mapping) else table
    arguments = table.get("model_args")
    arguments = arguments if isinstance(arguments, Mapping) else {}
    shape, crop, tag = cfg.get("input_size"), numbers(cfg.get("crop_pct")), cfg.get("tag")
    architecture, eps = str(table.get("architecture", "")), numbers(arguments.get("bn_eps"))
    notes = [
        f"{source}: {name} {arguments[name]!r} is not read: the network keeps its own"
        for name in _UNREAD & arguments.keys()
    ]
    if cfg.get("crop_mode", "center") != "center":
        notes.append(f"timm evaluates them with crop mode {cfg['crop_mode']!r}: Convscale crops the centre")
    if "interpolation" in cfg and interpolation_of(cfg["interpolation"]) is None:
        notes.append(f"{source}: interpolation {cfg['interpolation']!r} is ignored: neither bilinear nor bicubic")
    return Statement(
        source=source,
        size=square(shape[1], shape[2], source) if isinstance(shape, Sequence) and len(shape) == 3 else None,
        crop=crop[0] if crop else None,
        resize_rounding="down",
        interpolation=interpolation_of(cfg.get("interpolation")),
        mean=numbers(cfg.get("mean")),
        std=numbers(cfg.get("std")),
        padding=_padding(arguments.get("pad_type")),
        norm_eps=eps[0] if eps else 1e-3 if arguments.get("bn_tf") else None,
        classes=texts(table.get("label_names")) or texts(cfg.get("label_names")) or texts(cfg.get("labels")),
        weights=f"{architecture}.{tag}" if architecture and tag else architecture,
        dialect="timm",
        licence=str(cfg.get("license") or ""),
        notes=tuple(notes),
    )


_UNREAD = {"act_layer", "global_pool", "output_stride", "norm_layer"}  # of a network that is built otherwise


def _padding(pad_type: Any) -> Padding | None:
    if not isinstance(pad_type, str):
        return None
    return "same" if pad_type.lower() == "same" else "symmetric"


def _transformers(table: Mapping[str, Any]) -> Statement | None:
    kind = table["model_type"]
    if kind != "efficientnet":
        return Statement(source=CONFIG, notes=(f"{CONFIG} describes a {kind} model of transformers: not used",))
    size, eps, labels = table.get("image_size"), numbers(table.get("batch_norm_eps")), table.get("id2label")
    sides = size if isinstance(size, Sequence) and len(size) == 2 else (size, size)
    classes = None
    if isinstance(labels, Mapping) and all(str(key).isdecimal() for key in labels):
        names = texts([labels[key] for key in sorted(labels, key=int)])
        classes = None if names and all(name == f"LABEL_{index}" for index, name in enumerate(names)) else names
    usual = {"hidden_act": ("swish", "silu"), "pooling_type": ("mean",)}
    notes = tuple(
        f"{CONFIG}: {name} {table[name]!r} is not read: the network keeps its own"
        for name, values in usual.items()
        if table.get(name, values[0]) not in values
    )
    return Statement(
        source=CONFIG, size=square(sides[0], sides[1], CONFIG), norm_eps=eps[0] if eps else None, classes=classes,
        dialect="transformers", notes=notes,
    )  # fmt: skip


def _preprocessor(table: Mapping[str, Any]) -> Statement:
    if isinstance(table.get("pretrained_cfg"), Mapping):
        return _timm(table, PREPROCESSOR)
    size, share, notes = _sizes(table)
    mean, std, doubled = _statistics(table)
    resample = table.get("resample")
    if resample is not None and interpolation_of(resample) is None:
        notes.append(f"{PREPROCESSOR}: resample {resample} of Pillow is ignored: neither bilinear nor bicubic")
    if doubled:
        notes.append(f"{PREPROCESSOR} divides by std twice (include_top): std is its square")
    return Statement(
        source=PREPROCESSOR, size=size, crop=share, interpolation=interpolation_of(resample), mean=mean, std=std,
        notes=tuple(notes),
    )  # fmt: skip


def _sizes(table: Mapping[str, Any]) -> tuple[int | None, float | None, list[str]]:
    """Side of the input, share of the resized image, notes."""
    resized, squashed = _side(table.get("size"))
    if not table.get("do_resize", True):
        return None, None, [f"{PREPROCESSOR} does not resize images; Convscale does"]
    notes = []
    if squashed:
        notes.append("transformers squashes images to a square: Convscale crops the centre")
    if table.get("do_center_crop", False):
        cut, _ = _side(table.get("crop_size"))
        if cut is not None and resized is not None and cut <= resized:
            return cut, cut / resized, notes
        return cut, None, notes
    return resized, None if resized is None else 1.0, notes


def _side(value: Any) -> tuple[int | None, bool]:
    """Of {"height", "width"}, {"shortest_edge"} or a number, and whether it squashes."""
    if isinstance(value, Mapping):
        if "shortest_edge" in value:
            edge = value["shortest_edge"]
            return square(edge, edge, PREPROCESSOR), False
        return square(value.get("height"), value.get("width"), PREPROCESSOR), True
    return square(value, value, PREPROCESSOR), False


def _statistics(table: Mapping[str, Any]) -> tuple[Values | None, Values | None, bool]:
    """Mean and std of values of 0 to 1, and whether its processor divides by std twice, as EfficientNet's does."""
    normalises = table.get("do_normalize", True)
    mean, std = numbers(table.get("image_mean")), numbers(table.get("image_std"))
    if normalises and (mean is None or std is None or len(mean) != len(std)):
        return None, None, False
    efficientnet = "EfficientNet" in str(table.get("image_processor_type", ""))
    doubled = bool(table.get("include_top", efficientnet)) and std is not None
    factor = numbers(table.get("rescale_factor", 1 / 255)) or (1 / 255,)
    if factor[0] <= 0:
        return None, None, False
    scale = 255 * factor[0] if table.get("do_rescale", True) else 255.0
    offset = 1.0 if table.get("rescale_offset") and table.get("do_rescale", True) else 0.0
    channels = range(len(std)) if std is not None else range(3)
    first = [std[at] if normalises and std is not None else 1.0 for at in channels]
    second = [std[at] if doubled and std is not None else 1.0 for at in channels]
    means = [mean[at] if normalises and mean is not None else 0.0 for at in channels]
    return (
        tuple((one + offset) / scale for one in means),
        tuple(a * b / scale for a, b in zip(first, second, strict=True)),
        doubled,
    )
