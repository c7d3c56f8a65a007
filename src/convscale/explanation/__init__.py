"""Class activation maps: where a network finds what it says of an image, placed where it lies in the image."""

from convscale.explanation.comparison import compare_explanations
from convscale.explanation.explained import Explanation, LogitParts
from convscale.explanation.explaining import explain
from convscale.explanation.keeping import keep_explanations
from convscale.explanation.methods import METHODS
from convscale.explanation.placing import MapAxis

__all__ = ["METHODS", "Explanation", "LogitParts", "MapAxis", "compare_explanations", "explain", "keep_explanations"]
