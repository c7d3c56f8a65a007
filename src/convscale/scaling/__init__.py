"""Scaling laws, rounding rules, and `scale`, which applies one to a baseline."""

from convscale.networks.rounding import (
    NOISE,
    group_width_edges,
    round_channels,
    round_group_width,
    round_repeats,
    round_resolution,
    width_edge,
)
from convscale.scaling.coefficients import PAPER, Coefficients, read_coefficients
from convscale.scaling.laws import (
    DIMENSIONS,
    LAWS,
    MAX_MULTIPLIER,
    RELEASED,
    Scaling,
    ScalingLaw,
    compound,
    compound_law,
    law,
    list_laws,
    published,
    shares_law,
)
from convscale.scaling.scaler import scale, scale_rows

__all__ = [
    "DIMENSIONS",
    "LAWS",
    "MAX_MULTIPLIER",
    "NOISE",
    "PAPER",
    "RELEASED",
    "Coefficients",
    "Scaling",
    "ScalingLaw",
    "compound",
    "compound_law",
    "group_width_edges",
    "law",
    "list_laws",
    "published",
    "read_coefficients",
    "round_channels",
    "round_group_width",
    "round_repeats",
    "round_resolution",
    "scale",
    "scale_rows",
    "shares_law",
    "width_edge",
]
