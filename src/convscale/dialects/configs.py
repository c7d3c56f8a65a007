"""The files that libraries keep beside weights: config.json of timm and transformers, preprocessor_config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from convscale.dialects.pickles import class_of
from convscale.dialects.statements import Size, Statement, Values, size_of
from convscale.errors import ConfigError
from convscale.files import read_json
from convscale.networks import Padding

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_MOST_BYTES = 20_000_000  # 21,843 classes by name
_PIL: dict[Any, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


def beside(weights: Path) -> list[Statement]:
    """What the configurations in the folder of a weights file say; empty if there are none.

    Raises ConfigError for one that is not JSON.
    """
    found = []
    for name, read in ((PREPROCESSOR, _preprocessor), (CONFIG, _config)):
        path = weights.parent / name
        if path.is_file():
            table = _read(path)
            if isinstance(table, Mapping):
                found += [read(table)]
    return [statement for statement in found if statement is not None]


def _read(path: Path) -> Any:
    try:
        return read_json(path, _MOST_BYTES)
    except ConfigError as error:
        raise ConfigError(
            error.message,
            hint="it describes the weights beside it: mend it, or convert the weights from another folder",
        ) from None


def interpolation_of(value: Any) -> Literal["bilinear", "bicubic"] | None:
    """As a library writes it; None for one that Convscale has not."""
    known: dict[Any, Literal["bilinear", "bicubic"]] = {"bilinear": "bilinear", "bicubic": "bicubic", **_PIL}
    return known.get(value) if isinstance(value, str | int) else None


def numbers(value: Any) -> Values | None:
    """A finite number or a list of them; None for anything else."""
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        return None
    try:
        found = tuple(float(one) for one in values)
    except OverflowError:
        return None
    return found if found and all(map(math.isfinite, found)) else None


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
    notes = [*unread(arguments, source), *unread({"global_pool": table.get("global_pool")}, source)]
    if cfg.get("crop_mode", "center") != "center":
        notes.append(f"timm evaluates them with crop mode {cfg['crop_mode']!r}: Convscale crops the centre")
    if "interpolation" in cfg and interpolation_of(cfg["interpolation"]) is None:
        notes.append(f"{source}: interpolation {cfg['interpolation']!r} is ignored: neither bilinear nor bicubic")
    return Statement(
        source=source,
        size=size_in(shape),
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


def size_in(value: Any) -> Size | None:
    """The size of an input that a library states as a side or a shape; None for anything else."""
    found = numbers(value)
    return None if found is None else size_of(*found)


def unread(arguments: Mapping[str, Any], source: str) -> list[str]:
    """Notes on arguments of timm's models by which they compute something else than ours."""
    return [
        f"{source}: {name} {_in_words(value)} is not read: the network keeps its own"
        for name, value in sorted(arguments.items())
        if value is not None and value != "" and name not in _HARMLESS and not name.startswith("drop")
        and not (name in ("gp", "global_pool") and value in ("avg", "fast"))
    ]  # fmt: skip


def _in_words(value: Any) -> str:
    """A plain value; of an object or a class in a checkpoint its class."""
    plain = isinstance(value, str | int | float | list | tuple)
    return repr(value) if plain else str(getattr(value, "name", "") or class_of(value))


# What is read, what acts in training alone, and what is of the classifier and the input, which tensors show.
_HARMLESS = {
    "pad_type", "bn_eps", "bn_tf", "bn_momentum", "num_classes", "in_chans", "img_size", "pretrained", "scriptable",
    "exportable", "no_jit", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir",
    "zero_init_last", "grad_checkpointing",
}  # fmt: skip


def _padding(pad_type: Any) -> Padding | None:
    if not isinstance(pad_type, str):
        return None
    return "same" if pad_type.lower() == "same" else "symmetric"


def _transformers(table: Mapping[str, Any]) -> Statement | None:
    kind = table["model_type"]
    if kind != "efficientnet":
        return Statement(source=CONFIG, notes=(f"{CONFIG} describes a {kind} model of transformers: not used",))
    size, eps, labels = table.get("image_size"), numbers(table.get("batch_norm_eps")), table.get("id2label")
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
        source=CONFIG, size=size_in(size), norm_eps=eps[0] if eps else None, classes=classes,
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


def _sizes(table: Mapping[str, Any]) -> tuple[Size | None, float | None, list[str]]:
    """Size of the input, share of the resized image, notes."""
    resized, squashed = _side(table.get("size"))
    if not table.get("do_resize", True):
        return None, None, [f"{PREPROCESSOR} does not resize images; Convscale does"]
    notes = []
    if squashed:
        notes.append("transformers squashes images to a square: Convscale crops the centre")
    if table.get("do_center_crop", False):
        cut, _ = _side(table.get("crop_size"))
        if isinstance(cut, int) and isinstance(resized, int) and cut <= resized:
            return cut, cut / resized, notes
        return cut, None, notes
    return resized, None if resized is None else 1.0, notes


def _side(value: Any) -> tuple[Size | None, bool]:
    """Of {"height", "width"}, {"shortest_edge"} or a number, and whether it squashes."""
    if isinstance(value, Mapping):
        if "shortest_edge" in value:
            return size_in(value["shortest_edge"]), False
        return size_in([value.get("height"), value.get("width")]), True
    return size_in(value), False


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
