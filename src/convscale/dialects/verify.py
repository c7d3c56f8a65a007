"""verify: compare our logits with those of the library that the weights come from, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from convscale.data import FileImages
from convscale.data.loader import Normalise, evaluation_batches
from convscale.dialects.layout import Dialect
from convscale.dialects.peers import load_peer
from convscale.errors import ConfigError, DataError
from convscale.headers import UNTRAINED, WeightsHeader
from convscale.layers import resolve

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
COMPARED_IMAGES = 64


@torch.inference_mode()
def compare(
    dialect: Dialect,
    tensors: dict[str, Tensor],
    model: nn.Module,
    header: WeightsHeader,
    source: str | Path,
    images: str | Path,
    batch: int = 8,
) -> float:
    """The largest difference of logits, over the largest logit, between the library's own network with the weights in
    `source`, which hold `tensors`, and `model`, on up to 64 image files.

    Raises MissingExtraError where the library is not installed, ConfigError where it cannot build the network or the
    state has no classifier, DataError for images that cannot be read.
    """
    bias = tensors.get(dialect.entries(resolve(header.network))[-1].theirs)  # the classifier's: perhaps 1,001
    if bias is None or header.classes == UNTRAINED:
        raise ConfigError("there is no classifier, so no logits to compare", hint="omit --verify")
    files = FileImages(paths := _image_files(Path(images)), np.zeros(len(paths), dtype=np.int64))
    peer = load_peer(dialect.name, Path(source), tensors, header, bias.numel())
    normalise, worst, scale = Normalise(header.preprocessing, torch.device("cpu")), 0.0, 0.0
    for pixels, _, missing, _ in evaluation_batches(files, header.preprocessing, batch):
        if missing:
            raise DataError(missing[0][1], hint="remove it or replace it")
        theirs, ours = peer(pixels)[:, -header.network.num_classes :], model(normalise(pixels))  # no background
        worst = max(worst, float((theirs - ours).abs().max()))
        scale = max(scale, float(theirs.abs().max()))
    return worst / max(scale, 1e-12)


def _image_files(path: Path) -> list[Path]:
    found: Sequence[Path] = [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)
    if not found or not found[0].is_file():
        raise DataError(f"{path}: no image file", hint=f"a file, or a folder of {', '.join(IMAGES)}")
    return list(found[:COMPARED_IMAGES])
