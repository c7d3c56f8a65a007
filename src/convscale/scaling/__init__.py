"""Scaling laws, rounding rules, and `scale`, which applies one to a baseline."""

from convscale.scaling.coefficients import PAPER, Coefficients, read_coefficients
from convscale.scaling.laws import (
    LAWS,
    MAX_MULTIPLIER,
    Scaling,
    ScalingLaw,
    compound,
    compound_law,
    law,
    published,
    shares_law,
)
from convscale.scaling.rounding import NOISE, round_channels, round_repeats, round_resolution, width_edge
from convscale.scaling.scale import scale, scale_rows

__all__ = [
    "LAWS",
    "MAX_MULTIPLIER",
    "NOISE",
    "PAPER",
    "Coefficients",
    "Scaling",
    "ScalingLaw",
    "compound",
    "compound_law",
    "law",
    "published",
    "read_coefficients",
    "round_channels",
    "round_repeats",
    "round_resolution",
    "scale",
    "scale_rows",
    "shares_law",
    "width_edge",
]
