"""What a map has to beat: maps that know nothing of the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convscale.data.images import Pixels
from convscale.explanation.placing import MapAxis

BLOB = "a centred blob"
RANDOM = "a random map"
EDGES = "edge strength"
UNTRAINED = "random weights"

_BLOB_WIDTH = 0.25  # of a side: one standard deviation


def centred_blob(height: int, width: int) -> NDArray[np.float32]:
    """A Gaussian in the middle, a quarter of each side wide: photographers put things there."""
    tall, wide = (
        np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / _BLOB_WIDTH) ** 2) for side in (height, width)
    )
    return np.outer(tall, wide).astype(np.float32)


def random_map(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """Cells that are drawn, uniform between 0 and 1."""
    return generator.random(shape, dtype=np.float32)


def edge_strength(view: Pixels, rows: MapAxis, columns: MapAxis) -> NDArray[np.float32]:
    """The mean strength of edges about each cell, of what the network sees, (channels, size, size): contours alone make
    maps that please the eye (Adebayo et al. 2018)."""
    grey = view.astype(np.float32).mean(0)
    strength = np.hypot(*np.gradient(grey))
    across, down = columns.spread(grey.shape[1]), rows.spread(grey.shape[0])
    weights = np.outer(down.sum(0), across.sum(0))
    cells: NDArray[np.float32] = (down.T @ strength @ across / np.maximum(weights, 1e-12)).astype(np.float32)
    return cells
