"""Maps against boxes that people drew around the object: how much of a map lies in them, beside a centred blob.

A box of most of the image holds most of any map, and objects are mostly in the middle; a share alone says nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscale.errors import ConfigError, DataError
from convscale.explanation.comparing import compared
from convscale.explanation.controls import BLOB, centred_blob
from convscale.explanation.explained import Explanation
from convscale.files import read_text
from convscale.records.explanations import BoxMeasures, BoxScores

GRID = 128  # points a side at which a map is compared with boxes
THRESHOLDS = np.arange(0.02, 1.0, 0.02)  # of a map's range
OVERLAP = 0.5  # of intersection over union, from which on a box is found
MAX_BYTES = 100_000_000
_COLUMNS = ("name", "left", "top", "right", "bottom")


class Box(NamedTuple):
    """Sides as fractions of the image, from its left and its top."""

    left: float
    top: float
    right: float
    bottom: float


Boxes = Mapping[str, Sequence[Box]]


def read_boxes(path: str | Path) -> dict[str, list[Box]]:
    """The boxes of each image in a CSV file with the columns name, left, top, right and bottom, others aside: a line
    per box, sides as fractions of the image. Raises ConfigError naming the line."""
    rows = csv.DictReader(read_text(Path(path), MAX_BYTES).splitlines())
    missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise ConfigError(f"{path}: no column {', '.join(missing)}", hint=f"columns: {', '.join(_COLUMNS)}")
    found: dict[str, list[Box]] = {}
    for row in rows:
        try:
            box = Box(*(float(row[name]) for name in _COLUMNS[1:]))
        except (TypeError, ValueError):
            raise ConfigError(f"{path}, line {rows.line_num}: not four numbers") from None
        if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
            hint = "fractions of the image: 0 <= left < right <= 1, 0 <= top < bottom <= 1"
            raise ConfigError(f"{path}, line {rows.line_num}: {tuple(box)} is no box", hint=hint)
        found.setdefault(row["name"], []).append(box)
    return found


class _Measured(NamedTuple):
    """One map: energy inside minus area, whether its maximum lies in a box, and at which thresholds a box is found."""

    energy: float
    pointing: float
    hits: NDArray[np.float64]


class BoxTally:
    """Measures maps one by one, each beside a centred blob on the same image."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self._stems = {Path(name).stem: name for name in boxes}
        self._maps: list[_Measured] = []
        self._blobs: list[_Measured] = []

    def of(self, image: str) -> Sequence[Box]:
        """The boxes of an image, by the name of its file, or by that without its ending."""
        name = Path(image).name
        return self.boxes.get(name) or self.boxes.get(self._stems.get(Path(name).stem, ""), ())

    def require_any(self, images: Iterable[str]) -> None:
        """Raise DataError unless one of the images has a box."""
        if not any(self.of(image) for image in images):
            raise DataError("no image has a box", hint="the column name holds the names of the images' files")

    def add(self, one: Explanation) -> None:
        """A map; an image without a box does not count."""
        own = self.of(one.image)
        if own:
            self._maps.append(measure(one.placed(GRID, GRID), own))
            self._blobs.append(measure(_blob(), own))

    def __len__(self) -> int:
        return len(self._maps)

    def scores(self) -> dict[str, list[float]]:
        """What each map scored, by measure."""
        return {name: values.tolist() for name, values in _all(self._maps).items() if name != "threshold"}

    def result(self) -> BoxScores:
        """All of them; at least one map must have been added."""
        maps, blobs = _all(self._maps), _all(self._blobs)
        differences = compared({name: (maps[name], blobs[name]) for name in maps if name != "threshold"}, control=BLOB)
        summary, blob = _summary(maps), _summary(blobs)
        return BoxScores(
            n=len(self._maps), energy_minus_area=summary.energy_minus_area, pointing=summary.pointing,
            box_accuracy=summary.box_accuracy, threshold=summary.threshold, blob=blob, differences=differences,
        )  # fmt: skip


def measure(placed: NDArray[np.float32], boxes: Sequence[Box]) -> _Measured:
    """A map over the whole image against its boxes; what is negative has no energy."""
    height, width = placed.shape
    inside = np.zeros(placed.shape, dtype=bool)
    for box in boxes:
        inside[_within(box.top, box.bottom, height), _within(box.left, box.right, width)] = True
    positive = placed.clip(0)
    total = positive.sum(dtype=np.float64)
    energy = positive[inside].sum(dtype=np.float64) / total - inside.mean() if total > 0 else 0.0
    hits = [any(overlap(found, box) >= OVERLAP for box in boxes) for found in _found(placed)]
    return _Measured(float(energy), float(inside.flat[placed.argmax()]), np.array(hits, dtype=np.float64))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    common = max(width, 0.0) * max(height, 0.0)
    areas = sum((one.right - one.left) * (one.bottom - one.top) for one in (a, b))
    return common / (areas - common)


def _within(low: float, high: float, count: int) -> slice:
    """The points, at the middles of `count` equal parts, that lie between."""
    return slice(max(0, round(low * count)), max(round(low * count) + 1, round(high * count)))


def _found(placed: NDArray[np.float32]) -> list[Box]:
    """The box around the largest connected part of the map above each threshold of its range."""
    from scipy import ndimage

    height, width = placed.shape
    low, high = float(placed.min()), float(placed.max())
    scaled = (placed - low) / (high - low) if high > low else np.ones_like(placed)
    found = []
    for threshold in THRESHOLDS:
        labels, count = ndimage.label(scaled >= threshold, structure=np.ones((3, 3)))
        largest = int(np.bincount(labels.ravel())[1:].argmax()) if count > 1 else 0
        rows, columns = ndimage.find_objects(labels)[largest]
        found.append(Box(columns.start / width, rows.start / height, columns.stop / width, rows.stop / height))
    return found


@cache
def _blob() -> NDArray[np.float32]:
    return centred_blob(GRID, GRID)


def _all(measured: Sequence[_Measured]) -> dict[str, NDArray[np.float64]]:
    """What each image scored, the boxes at the one threshold that finds most."""
    hits = np.array([one.hits for one in measured])
    best = int(hits.mean(0).argmax())
    return {
        "energy_minus_area": np.array([one.energy for one in measured]),
        "pointing": np.array([one.pointing for one in measured]),
        "box_accuracy": hits[:, best],
        "threshold": THRESHOLDS[best : best + 1],
    }


def _summary(scores: Mapping[str, NDArray[np.float64]]) -> BoxMeasures:
    return BoxMeasures(**{name: float(values.mean()) for name, values in scores.items()})
