"""Weights of other libraries: in whatever dialect they come, out in the common ones."""

from convscale.dialects.conversion import Conversion, convert
from convscale.dialects.hub_weights import get_weights, list_weights, pretrained
from convscale.dialects.layout import DIALECTS
from convscale.dialects.meaning import Choices
from convscale.dialects.starting import find_weights_file

__all__ = [
    "DIALECTS", "Choices", "Conversion", "convert", "find_weights_file", "get_weights", "list_weights", "pretrained",
]  # fmt: skip
