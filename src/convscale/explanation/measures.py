"""What is measured of maps while they are made."""

from __future__ import annotations

from convscale.data.images import ImageCollection
from convscale.explanation.boxes import Boxes, BoxTally
from convscale.explanation.explained import Explanation
from convscale.explanation.explaining import class_index
from convscale.explanation.faithfulness import FaithfulTally
from convscale.nn import Model
from convscale.records import BoxScores, Faithfulness


class Measures:
    """What is measured of the maps, of all that was asked for. Raises DataError where boxes are given and no image has
    one."""

    def __init__(self, model: Model, method: str, boxes: Boxes | None, faithful: bool, images: ImageCollection) -> None:
        self.model = model
        self.boxes = None if boxes is None else BoxTally(boxes)
        self.faithful = FaithfulTally(model, method) if faithful else None
        if self.boxes is not None:
            self.boxes.require_any(map(images.name, range(len(images))))

    def add(self, one: Explanation) -> None:
        """Measure a map."""
        if self.boxes is not None:
            self.boxes.add(one)
        if self.faithful is not None:
            self.faithful.add(one, class_index(self.model, one.class_name))

    def results(self) -> tuple[BoxScores | None, Faithfulness | None]:
        """Of all maps; None where nothing was measured."""
        boxes = self.boxes.result() if self.boxes else None
        return boxes, self.faithful.result() if self.faithful else None

    def scores(self) -> dict[str, list[float]]:
        """Those of each image, by measure."""
        found = self.boxes.scores() if self.boxes else {}
        return found | (self.faithful.own_scores() if self.faithful else {})
