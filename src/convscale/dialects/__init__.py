"""Weights of other libraries: in whatever dialect they come, out in the common ones."""

from convscale.dialects.conversion import Conversion, convert
from convscale.dialects.hub_weights import get_weights, list_weights, pretrained
from convscale.dialects.layout import DIALECTS
from convscale.dialects.meaning import Choices

__all__ = ["DIALECTS", "Choices", "Conversion", "convert", "get_weights", "list_weights", "pretrained"]
