"""Rounding of widths, repeats and resolutions (EfficientNet reference code, efficientnet_model.py:106-130)."""

from __future__ import annotations

import math

from convscale.networks.parts import ScalingRules

# A law's multipliers carry rounding noise of floats: 4.000000000000001 times 2 repeats are 8, not 9.
NOISE = 1e-9


def round_channels(channels: float, divisor: int = 8, floor: float = 0.9) -> int:
    """The multiple of `divisor` nearest to `channels`, at least one; one step more where that is below
    `floor` times `channels`."""
    rounded = max(divisor, int(channels + divisor / 2 + NOISE) // divisor * divisor)
    return rounded + divisor if rounded < floor * channels - NOISE else rounded


def round_repeats(repeats: float, how: str) -> int:
    """Whole repeats, at least one: up ("ceil") or to the nearest, halves up ("nearest")."""
    return max(1, math.ceil(repeats - NOISE) if how == "ceil" else math.floor(repeats + 0.5 + NOISE))


def round_resolution(resolution: float, step: int, least: int) -> int:
    """The multiple of `step` nearest to `resolution`, at least `least` pixels."""
    return max(math.floor(resolution / step + 0.5), math.ceil(least / step)) * step


def round_group_width(channels: float) -> int:
    """A scaled group width: to whole channels, then up to 2 as they are, up to 5 become 4, and the rest the nearest
    multiple of 8; halves go to the even number both times (pycls, models/scaler.py)."""
    whole = max(1, round(channels))
    return whole if whole <= 2 else 4 if whole <= 5 else round(whole / 8) * 8


def group_width_edges(most: float) -> list[float]:
    """The exact group widths, up to `most`, at which `round_group_width` leaves a value for the next one."""
    return [
        whole + 0.5 for whole in range(1, math.ceil(most)) if round_group_width(whole) != round_group_width(whole + 1)
    ]


def width_edge(rounded: int, rules: ScalingRules) -> float:
    """The exact width at which rounding leaves the multiple `rounded` for the next one."""
    half = rounded + rules.divisor / 2
    return min(half, rounded / rules.floor) if rules.floor > 0 else half
