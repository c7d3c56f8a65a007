"""One image and its map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscale.explanation.placing import MapAxis, place
from convscale.figures import draw_explanation, panel_sides
from convscale.records.explanations import ExplainedImage


class LogitParts(NamedTuple):
    """A logit as what each cell adds to it, (rows, columns) float64, and the classifier's bias: all together it."""

    cells: NDArray[np.float64]
    bias: float

    @property
    def total(self) -> float:
        """The logit."""
        return float(self.cells.sum()) + self.bias


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The map of an image for a class."""

    image: str
    """Its path, or its place among the images given."""
    class_name: str
    """The class that the map is for."""
    probability: float
    """Of that class."""
    logit: float
    """Of that class."""
    method: str
    """What made the map."""
    map: NDArray[np.float32]
    """(rows, columns), one value per cell of the features; those of cam are in logits."""
    logit_parts: LogitParts | None
    """The exact parts of the logit, whatever the method; None where the head is not a pool and a linear layer."""
    rows: MapAxis
    """Where the rows lie in the image."""
    columns: MapAxis
    """Where the columns lie."""
    view: NDArray[np.uint8]
    """What the network sees of it, (channels, size, size), before it is normalised."""
    shown: NDArray[np.uint8]
    """The image itself, small: (height, width) or (height, width, 3)."""

    @property
    def cam_sum(self) -> float | None:
        """`logit_parts` together: the logit, as its cells have it."""
        return None if self.logit_parts is None else self.logit_parts.total

    def placed(self, height: int, width: int) -> NDArray[np.float32]:
        """The map over the whole image, as if that had height x width pixels: each cell at the middle of what it sees,
        straight lines between, 0 where the network does not look (outside of the central crop)."""
        return place(self.map, self.rows, self.columns, height, width)

    def draw(self, path: str | Path, *, most: float | None = None) -> None:
        """Write a WebP: the image, the map, the map on the image. Colours run from 0 to `most`, or to the map's own
        maximum."""
        width, height = panel_sides(self.shown.shape[1], self.shown.shape[0])
        placed = self.placed(height, width)
        (left, right), (top, bottom) = self.columns.seen(width), self.rows.seen(height)
        whole = left <= 0 and top <= 0 and right >= width and bottom >= height
        highest = float(placed.max()) if most is None else most
        unit = " logits" if self.method == "cam" else ""
        lines = (
            Path(self.image).name,
            f"{self.class_name}  {self.probability:.3f}",
            f"{self.method}, {self.map.shape[0]} x {self.map.shape[1]} cells, 0 to {max(highest, 0):.3g}{unit}",
        )
        view = None if whole else (left, top, right, bottom)
        draw_explanation(self.shown, placed, Path(path), lines, view=view, most=most)

    def record(self, picture: str | None = None) -> ExplainedImage:
        """What is kept of it; `picture`: the name of its file."""
        cells = tuple(tuple(map(float, row)) for row in self.map)
        return ExplainedImage(
            self.image, self.class_name, self.probability, self.logit, cells, self.cam_sum, picture
        )  # fmt: skip
