"""Weights that libraries publish: their padding, BN eps and preprocessing, which no file of tensors holds.

published.csv holds a row for each that timm, torchvision and efficientnet_pytorch publish and Convscale has the network
of, as their own tables say (timm's pretrained_cfg, torchvision's WeightsEnum). `file` is the name that it is
downloaded under, which ends in the beginning of its sha256; `aliases` are names that the library used before. The
first row of an architecture is what the library loads for the architecture's name alone.
"""

from __future__ import annotations

import csv
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
    file: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def architecture(self) -> str:
        """The library's name of the network, without that of the weights."""
        return self.name.split(".")[0]

    @property
    def repository(self) -> str:
        """On the Hugging Face hub."""
        return f"{self.dialect}/{self.name}"

    @property
    def hash(self) -> str:
        """The beginning of the published file's sha256; empty where it was never a file of its own."""
        return self.file.rpartition("-")[2]

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
    preprocessing = Preprocessing(
        int(row["size"]),
        mean=mean,
        std=std,
        crop=float(row["crop"]),
        interpolation="bilinear" if row["interpolation"] == "bilinear" else "bicubic",
        resize_rounding="down" if row["dialect"] == "timm" else "nearest",
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
        file=row["file"],
        aliases=tuple(row["aliases"].split()),
    )


def rows_of(dialect: str, network: str) -> list[Published]:
    """What a dialect publishes of a network, in the table's order: what is usual comes first."""
    return [row for row in published() if (row.dialect, row.network) == (dialect, network)]


def reference_preprocessing(size: int) -> Preprocessing:
    """Of the reference EfficientNet and those who copied its weights: a crop of size / (size + 32), bicubic."""
    return Preprocessing(size, crop=size / (size + 32))
