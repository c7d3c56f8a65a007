"""Scaling laws, rounding rules, and `scale`, which applies one to a baseline."""

from convscale.networks.rounding import round_channels, round_repeats, round_resolution, width_edge
from convscale.scaling.coefficients import PAPER, Coefficients, read_coefficients
from convscale.scaling.laws import (
    DIMENSIONS,
    LAWS,
    Scaling,
    ScalingLaw,
    compound,
    compound_law,
    law,
    published,
    shares_law,
)
from convscale.scaling.scaler import scale

__all__ = [
    "DIMENSIONS",
    "LAWS",
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
    "shares_law",
    "width_edge",
]
