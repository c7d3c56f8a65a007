"""Where a network found what it says of an image, and how far the maps can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from convscale.display import Display, Displayed
from convscale.flattening import AsDict


@dataclass(frozen=True, slots=True)
class ExplainedImage(AsDict):
    """The map of one image for one class."""

    JSON: ClassVar = ("image", "class=class_name", "probability", "map_shape", "cam_sum", "logit", "picture")

    image: str
    """Its path, or its place among the images given."""
    class_name: str
    """The class that the map is for."""
    probability: float
    """Of that class."""
    logit: float
    """Of that class."""
    cells: tuple[tuple[float, ...], ...]
    """The map's values, row by row: those of cam are in logits."""
    cam_sum: float | None
    """What the cells of cam add up to, the classifier's bias included: the logit. None where the head is not linear."""
    picture: str | None
    """The file of its picture, in the folder of the record."""

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.cells), len(self.cells[0]) if self.cells else 0


Verdict = Literal["better", "worse", "no better", "cannot tell"]


@dataclass(frozen=True, slots=True)
class ControlDifference(AsDict):
    """What maps score minus what a control scores on the same images; more is better."""

    measure: str
    """What was measured."""
    control: str
    """The map that it is compared with."""
    mean: float
    """The mean of the differences."""
    interval: tuple[float, float] | None
    """Of that mean; None for a single image."""
    confidence: float
    """Of the interval: at least 0.95, more where several comparisons have to hold together."""
    verdict: Verdict
    """Whether the interval leaves out zero, and on which side; "cannot tell" without one."""

    def in_words(self) -> str:
        """Better than a centred blob."""
        return self.verdict if self.verdict == "cannot tell" else f"{self.verdict} than {self.control}"


@dataclass(frozen=True, slots=True)
class BoxMeasures(AsDict):
    """How well maps agree with boxes around the objects."""

    energy_minus_area: float
    """The share of the map's positive values inside the boxes, minus the share of the image that these take."""
    pointing: float
    """The share of images whose maximum lies in a box."""
    box_accuracy: float
    """The share of images where the box around the largest part above the threshold overlaps one by half."""
    threshold: float
    """Of the map's range: the one with the most boxes found."""


@dataclass(frozen=True, slots=True)
class BoxScores(AsDict):
    """The measures of maps, and those of a centred blob on the same images."""

    n: int
    """Images that have a box."""
    energy_minus_area: float
    """As in BoxMeasures."""
    pointing: float
    """As in BoxMeasures."""
    box_accuracy: float
    """As in BoxMeasures."""
    threshold: float
    """As in BoxMeasures."""
    blob: BoxMeasures
    """Of the blob, at its own best threshold."""
    differences: tuple[ControlDifference, ...]
    """Maps minus blob."""


@dataclass(frozen=True, slots=True)
class FaithfulScores(AsDict):
    """What one kind of map scores over all images; more is better."""

    maps: str
    """Whose maps: "maps" for the network's own."""
    insertion: float
    """The area below the class's probability while pixels are put into a blurred image, most important first."""
    deletion: float
    """1 minus that area while pixels are replaced by the mean colour, most important first."""
    road: float
    """The class's probability without the least important pixels minus that without the most important, imputed."""


@dataclass(frozen=True, slots=True)
class Faithfulness(AsDict):
    """Whether a network needs what its maps point at, beside maps that know nothing."""

    n: int
    """Images."""
    maps: FaithfulScores
    """Of the maps themselves."""
    controls: tuple[FaithfulScores, ...]
    """Of a centred blob, random maps, edge strength, and the same method on random weights."""
    differences: tuple[ControlDifference, ...]
    """Maps minus each control, by measure."""


@dataclass(frozen=True, slots=True, repr=False)
class Explanations(AsDict, Displayed):
    """Maps of several images by one network and one method."""

    JSON: ClassVar = ("network", "method", "images", "unreadable", "**measured")

    network: str
    """The run or the weights file."""
    method: str
    """One of `convscale explain --method`."""
    images: tuple[ExplainedImage, ...]
    """In the order given."""
    unreadable: tuple[tuple[str, str], ...] = field(metadata={"each": ("image", "reason")})
    """Images that could not be read, and why."""
    boxes: BoxScores | None
    """Against boxes, where these were given."""
    faithful: Faithfulness | None
    """Against controls, where that was asked for."""

    @property
    def measured(self) -> dict[str, Any]:
        """What was measured of the maps, by name."""
        found = {"boxes": self.boxes, "faithful": self.faithful}
        return {name: value for name, value in found.items() if value is not None}

    def _display(self) -> Display:
        """A row an image."""
        rows = tuple(
            (one.image, one.class_name, f"{one.probability:.3f}", f"{one.logit:.3f}", one.picture or "")
            for one in self.images
        )
        title = f"{self.method} of {len(self.images):,} images by {self.network}"
        return Display(title, ("image", "class", "probability", "logit", "picture"), rows, left=2)


@dataclass(frozen=True, slots=True)
class ComparedNetwork(AsDict):
    """One network of a comparison."""

    JSON: ClassVar = ("**explanations", "resolution", "params", "macs")

    resolution: int
    """Its input side, in pixels."""
    params: int
    """Parameters."""
    macs: int
    """Multiply-adds per image."""
    explanations: Explanations
    """Its maps, and what was measured of them; without pictures."""


@dataclass(frozen=True, slots=True)
class ExplanationComparison(AsDict):
    """Maps of the same images by several networks."""

    networks: tuple[ComparedNetwork, ...]
    """In the order given."""
    shown: tuple[str, ...]
    """The images in the picture."""
    picture: str
    """The file of the picture, in the folder of the record."""
    differences: tuple[ControlDifference, ...]
    """What the first network scores minus what each other does, by measure, where anything was measured."""
