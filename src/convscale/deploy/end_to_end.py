"""The whole way of an image: from its file's bytes to the prediction."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from convscale.data.loader import Normalise
from convscale.data.transforms import evaluation_view_of
from convscale.deploy.engines import Engine
from convscale.deploy.engines.torch_threads import torch_threads
from convscale.preprocessing import Preprocessing

WIDTH, HEIGHT = 500, 375  # pixels: ImageNet's usual photograph
QUALITY = 90  # of its JPEG


def whole_way(
    engine: Engine, preprocessing: Preprocessing, files: Sequence[bytes], *, pixels: bool = False
) -> Callable[[], list[int]]:
    """A call that decodes `files`, prepares them, runs `engine` and gives the classes, by number, one per file.
    pixels: the engine normalises them itself."""
    normalise = Normalise(preprocessing, torch.device("cpu"))

    def run() -> list[int]:
        with torch_threads(engine.threads), torch.inference_mode():
            views = np.stack([evaluation_view_of(content, "the picture", preprocessing) for content in files])
            images: Any = views if pixels else normalise(torch.from_numpy(views)).numpy()
        return [int(index) for index in engine(images).argmax(1)]

    return run


def picture_file(channels: int) -> bytes:
    """A picture of WIDTH x HEIGHT pixels that compresses about as a photograph does: a JPEG in grey or RGB, a .npy file
    for any other number of channels. Always the same."""
    generator = np.random.default_rng(0)
    file = io.BytesIO()
    bands = [_band(generator) for _ in range(channels)]
    if channels in (1, 3):
        image = bands[0] if channels == 1 else Image.merge("RGB", bands)
        image.save(file, "JPEG", quality=QUALITY)
    else:
        np.save(file, np.dstack([np.asarray(band) for band in bands]), allow_pickle=False)
    return file.getvalue()


def _band(generator: np.random.Generator) -> Image.Image:
    """Smooth large shapes under finer ones under a little noise."""
    mixed = np.zeros((HEIGHT, WIDTH))
    for columns, share in ((4, 0.5), (20, 0.3), (100, 0.15), (WIDTH, 0.05)):
        rows = max(columns * HEIGHT // WIDTH, 1)
        coarse = Image.fromarray(generator.random((rows, columns), dtype=np.float32))
        mixed += share * np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return Image.fromarray((255 * mixed.clip(0, 1)).astype(np.uint8))
