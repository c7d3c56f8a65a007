"""What a safetensors file says of its weights in its metadata, free text as people write it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from convscale.dialects.configs import interpolation_of, numbers, size_in, texts
from convscale.dialects.statements import Statement, Values
from convscale.headers import is_safetensors
from convscale.networks import Padding

SOURCE = "the file's metadata"
MOST_SHOWN = 12
_WRITERS = {"format"}  # {"format": "pt"} is of every file that PyTorch's libraries write
_ASSIGNED = re.compile(r"\b([a-z][a-z_]*)\s*[=:]\s*([^\s,;]+)", re.IGNORECASE)
_NUMBER = r"(-?\d*\.?\d+(?:e-?\d+)?)"
_NUMBERS = re.compile(rf"[\s\[(]*{_NUMBER}(?:[\s,;/x\u00d7\[\]()]+{_NUMBER})*[\s\])]*(?:px)?", re.IGNORECASE)
# Keys whose text describes the network, or its images; sentences under other keys may be about anything.
_OF_NETWORK = re.compile(r"arch|model|network|config|args", re.IGNORECASE)
_OF_IMAGES = re.compile(r"input|image|prepro|normali[sz]|transform", re.IGNORECASE)
_NORMALISED = re.compile(rf"\(\s*x\s*-\s*{_NUMBER}\s*\)\s*/\s*{_NUMBER}")  # (x-127.5)/127.5
_SCALED = re.compile(rf"\bx\s*/\s*{_NUMBER}\s*(?:-\s*{_NUMBER})?")  # x/127.5-1
_INPUT_SIDE = re.compile(r"\b(?:rgb|grey|gray)\s*(?:\d\s*x\s*)?(\d{2,5})(?:\s*x\s*(\d{2,5}))?", re.IGNORECASE)
_NAMES: dict[str, tuple[str, ...]] = {
    "weights": ("architecture", "arch", "model", "model_name", "network"),
    "padding": ("pad_type", "padding"),
    "norm_eps": ("bn_eps", "norm_eps", "batch_norm_eps"),
    "mean": ("mean", "image_mean"),
    "std": ("std", "image_std"),
    "size": ("input_size", "image_size", "img_size", "resolution"),
    "crop": ("crop_pct", "crop"),
    "interpolation": ("interpolation",),
    "classes": ("label_names", "class_names", "classes", "labels"),
    "licence": ("license", "licence"),
}


def in_file(path: Path) -> Statement | None:
    """What the metadata of a safetensors file say; None for another file, and for one that says nothing."""
    if not is_safetensors(path):
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError):  # which reading its tensors reports
        return None
    texts_of = {str(key): str(value) for key, value in sorted(metadata.items()) if key not in _WRITERS}
    return _statement(texts_of) if texts_of else None


def _statement(texts_of: Mapping[str, str]) -> Statement:
    said = _assigned(texts_of)
    mean, std = numbers(said.get("mean")), numbers(said.get("std"))
    alone = [name for name, value, other in (("mean", mean, std), ("std", std, mean)) if value and not other]
    size = said.get("size")
    for text in (text for key, text in texts_of.items() if _OF_IMAGES.search(key)):
        if mean is None or std is None:
            mean, std = _normalised(text)
        side = _INPUT_SIDE.search(text)
        if size is None and side:
            size = [int(side[1]), int(side[2] or side[1])]
    if mean is None or std is None:
        mean = std = None
    eps, crop = numbers(said.get("norm_eps")), numbers(said.get("crop"))
    return Statement(
        source=SOURCE,
        size=size_in(size),
        crop=crop[0] if crop and 0.1 <= crop[0] <= 1 else None,
        resize_rounding="down" if "crop_pct" in " ".join(texts_of) else "nearest",
        interpolation=interpolation_of(said.get("interpolation")),
        mean=mean,
        std=std,
        padding=_padding(said.get("padding")),
        norm_eps=eps[0] if eps and 0 < eps[0] < 1 else None,
        classes=texts(said.get("classes")),
        weights=str(said.get("weights", "")),
        licence=str(said.get("licence", "")),
        notes=(
            *(f"{SOURCE}: {key}: {value[:300]}" for key, value in islice(texts_of.items(), MOST_SHOWN)),
            *(f"{SOURCE}: {name} is not used: mean and std belong together" for name in alone if mean is None),
        ),
    )


def _assigned(texts_of: Mapping[str, str]) -> dict[str, Any]:
    """Settings by Statement's names: from keys of their own, else from "key=value" within a description."""
    pairs: dict[str, Any] = {}
    for key, text in texts_of.items():
        found = {name.lower(): value for name, value in _ASSIGNED.findall(text)}
        if _OF_IMAGES.search(key):
            pairs |= found
        elif _OF_NETWORK.search(key):
            names = [name for setting in ("weights", "padding", "norm_eps") for name in _NAMES[setting]]
            pairs |= {name: value for name, value in found.items() if name in names}
    pairs |= {key.lower(): value for key, value in texts_of.items()}
    return {
        setting: _parsed(pairs[name], setting)
        for setting, names in _NAMES.items()
        if (name := next((name for name in names if name in pairs), None)) is not None
    }


def _parsed(text: str, setting: str) -> Any:
    """JSON, numbers with separators between them, names with commas or lines between them, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    if setting == "classes":
        return [name.strip() for name in re.split(r"[\n,]", text) if name.strip()]
    if setting in ("mean", "std", "size", "norm_eps", "crop"):
        return [float(number) for number in re.findall(_NUMBER, text)] if _NUMBERS.fullmatch(text) else None
    if setting == "weights":  # "timm mobilenetv2_100, pad_type=same"
        words = [word for word in re.split(r"[\s,;]+", text) if word.lower() not in ("timm", "torchvision", "")]
        return words[0] if words else ""
    return text


def _normalised(text: str) -> tuple[Values | None, Values | None]:
    """Mean and std of values of 0 to 1 by "(x-127.5)/127.5" or "x/127.5-1"."""
    found = _NORMALISED.search(text)
    if found:
        mean, std = float(found[1]), float(found[2])
        scale = 255.0 if max(mean, std) > 1 or "255" in text else 1.0
        return ((mean / scale,), (std / scale,)) if std > 0 else (None, None)
    found = _SCALED.search(text)
    if found and float(found[1]) > 0:
        std = float(found[1]) / 255
        return (float(found[2] or 0) * std,), (std,)
    return None, None


def _padding(value: Any) -> Padding | None:
    text = str(value or "").lower()
    known: dict[str, Literal["same", "symmetric"]] = {"same": "same", "symmetric": "symmetric"}
    return next((padding for word, padding in known.items() if word in text), None)
