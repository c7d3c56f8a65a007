"""Where the cells of a map lie in an image: at the middles of their receptive fields, along each side on its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class MapAxis(NamedTuple):
    """One side of an image, of the network's view of it, and of a map.

    The image is resized to `resized` pixels, of which `cut` are left out before the `view` pixels that the network
    sees; cell i of `cells` has its middle at pixel `first` + i * `step` of the view.
    """

    first: float
    step: int
    cells: int
    view: int
    cut: int = 0
    resized: int | None = None

    def spread(self, length: int) -> NDArray[np.float64]:
        """What each of `length` pixels of the image takes from each cell, (length, cells): straight lines between the
        middles, the outermost cell beyond them, nothing outside of the view."""
        whole = self.view if self.resized is None else self.resized
        pixels = (np.arange(length) + 0.5) / length * whole - self.cut - 0.5  # in pixels of the view
        at = np.clip((pixels - self.first) / self.step, 0, self.cells - 1)
        weights: NDArray[np.float64] = np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(self.cells)))
        weights[(pixels < -0.5) | (pixels > self.view - 0.5)] = 0
        return weights

    def seen(self, length: int) -> tuple[float, float]:
        """Where the view begins and ends among `length` pixels of the image."""
        whole = self.view if self.resized is None else self.resized
        return self.cut / whole * length, (self.cut + self.view) / whole * length

    def of_view(self) -> MapAxis:
        """The same for the view alone, as if that were the image."""
        return self._replace(cut=0, resized=None)


def place(cells: NDArray[np.floating], rows: MapAxis, columns: MapAxis, height: int, width: int) -> NDArray[np.float32]:
    """A map (rows, columns) over an image of height x width pixels."""
    return (rows.spread(height) @ cells @ columns.spread(width).T).astype(np.float32)
