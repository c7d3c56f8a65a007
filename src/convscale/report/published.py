"""Networks whose accuracy on ImageNet others have published: quoted, to stand beside what was measured here.

quoted/timm.csv is chosen from the results of pytorch-image-models (https://github.com/huggingface/pytorch-image-models,
results/, Apache-2.0): one recipe per family, trained on ImageNet-1k alone. Recipes differ between families. Speed is
images per second at batch 1 on one Intel i9-10940X. `catalog` and `memory_bytes` are Convscale's own: the network of
that name, and its memory for inference at that resolution. The paper's are those of its table 2.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from convscale.records.quoted import QUOTED


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """A quoted network. top1: a fraction. What was not published is None; seconds are those of one image."""

    family: str
    name: str
    top1: float
    params: float
    macs: float
    activations: float | None = None
    inference_memory_bytes: float | None = None
    seconds: float | None = None
    resolution: int | None = None


@cache
def published_networks() -> tuple[PublishedNetwork, ...]:
    """The paper's networks, then those of pytorch-image-models, family by family."""
    paper = [
        PublishedNetwork(f"{family} (the paper's)", name, top1, params, macs)
        for family, rows in QUOTED.items()
        for name, (params, macs, top1) in rows.items()
    ]
    text = files("convscale.report").joinpath("quoted", "timm.csv").read_text(encoding="utf-8")
    return (*paper, *map(_of_row, csv.DictReader(text.splitlines())))


def _of_row(row: dict[str, str]) -> PublishedNetwork:
    return PublishedNetwork(
        family=row["family"],
        name=row["model"],
        top1=float(row["top1_percent"]) / 100,
        params=float(row["params_millions"]) * 1e6,
        macs=float(row["gmacs"]) * 1e9,
        activations=float(row["activations_millions"]) * 1e6,
        inference_memory_bytes=float(row["memory_bytes"]) if row["memory_bytes"] else None,
        seconds=1 / float(row["cpu_images_per_second"]),
        resolution=int(row["resolution"]),
    )
