"""What a file of weights does not say: padding, BN eps and preprocessing of the weights that libraries publish.

published.csv holds a row for each that timm and torchvision publish and Convscale has the network of, as their own
tables say (timm's pretrained_cfg, torchvision's WeightsEnum).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import ClassVar

from convscale.networks import ConvNet, Padding
from convscale.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

_STATISTICS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((0.5,) * 3, (0.5,) * 3),  # x / 127.5 - 1
    "none": ((0.0,) * 3, (1.0,) * 3),
}


@dataclass(frozen=True, slots=True)
class Published:
    """Weights that a library publishes, "efficientnet_b0.ra_in1k", and how they are to be used."""

    JSON: ClassVar = (
        "name", "network", "repository", "resolution=preprocessing.size", "crop=preprocessing.crop",
        "interpolation=preprocessing.interpolation", "mean=preprocessing.mean", "std=preprocessing.std", "padding",
        "norm_eps", "classes", "licence",
    )  # fmt: skip

    dialect: str
    name: str
    network: str
    padding: Padding
    norm_eps: float
    preprocessing: Preprocessing
    classes: int
    licence: str
    squashed: bool = False

    @property
    def architecture(self) -> str:
        """The library's name of the network, without that of the weights."""
        return self.name.split(".")[0]

    @property
    def repository(self) -> str:
        """On the Hugging Face hub."""
        return f"{self.dialect}/{self.name}"

    def apply_to(self, network: ConvNet) -> ConvNet:
        """`network` as these weights want it."""
        return replace(network, padding=self.padding, norm_eps=self.norm_eps, resolution=self.preprocessing.size)


@cache
def published() -> tuple[Published, ...]:
    """All rows, in the table's order."""
    text = (files("convscale.dialects") / "published.csv").read_text("utf-8")
    return tuple(_row(row) for row in csv.DictReader(text.splitlines()))


def _row(row: dict[str, str]) -> Published:
    mean, std = _STATISTICS[row["statistics"]]
    size, crop = int(row["size"]), float(row["crop"])
    if row["dialect"] == "timm":  # which rounds the resized side down, where `Preprocessing` rounds
        crop = size / math.floor(size / crop)
    preprocessing = Preprocessing(
        size,
        mean=mean,
        std=std,
        crop=crop,
        interpolation="bilinear" if row["interpolation"] == "bilinear" else "bicubic",
    )
    return Published(
        dialect=row["dialect"],
        name=row["name"],
        network=row["network"],
        padding="same" if row["padding"] == "same" else "symmetric",
        norm_eps=float(row["norm_eps"]),
        preprocessing=preprocessing,
        classes=int(row["classes"]),
        licence=row["licence"],
        squashed=row["crop_mode"] == "squash",
    )


def rows_of(dialect: str, network: str) -> list[Published]:
    """What a dialect publishes of a network, in the table's order: what is usual comes first."""
    return [row for row in published() if (row.dialect, row.network) == (dialect, network)]


def find_published(text: str, rows: Sequence[Published] | None = None) -> Published | None:
    """The row that `text`, a name or that of a file, means: the longest name that it begins with, with or without
    that of the weights. None where there is none."""
    best: tuple[int, Published] | None = None
    for row in published() if rows is None else rows:
        for name in (row.name, row.architecture):
            rest = text.removeprefix(name)
            if rest != text and not rest[:1].isalnum() and (best is None or len(name) > best[0]):
                best = len(name), row
    return best[1] if best else None


def reference_preprocessing(size: int) -> Preprocessing:
    """Of the reference EfficientNet and those who copied its weights: a crop of size / (size + 32), bicubic."""
    return Preprocessing(size, crop=size / (size + 32))
