"""The fastest of several that were timed side by side, and those that cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from convscale.deploy.timing import Timing

Key = TypeVar("Key")

CERTAINLY = 2.0  # standard errors
ALWAYS_A_TIE = 1.01  # over the fastest: nobody notices, and the next hour decides otherwise
NEVER_A_TIE = 1.03
_TENTHS = 2.563  # standard deviations between the 10th and the 90th percentile of a normal distribution
_OF_MEDIAN = 1.2533  # its standard error over that of a mean


def fastest(timings: Mapping[Key, Timing]) -> Sequence[Key]:
    """The fastest and all that tie with it, in the order in which they are given, without any that was measured busy;
    empty where all were.

    A tie is a difference of medians within their noise, or within 1 %, and at most 3 %.
    """
    quiet = {key: timing for key, timing in timings.items() if not timing.busy}
    if not quiet:
        return ()
    best = min(quiet.values(), key=lambda timing: timing.median_ms)
    return [key for key, timing in quiet.items() if _is_tie(best, timing)]


def _is_tie(best: Timing, other: Timing) -> bool:
    ratio = other.median_ms / best.median_ms
    noise = CERTAINLY * math.hypot(_error(best), _error(other))
    return ratio <= ALWAYS_A_TIE or (ratio <= NEVER_A_TIE and other.median_ms - best.median_ms <= noise)


def _error(timing: Timing) -> float:
    """The standard error of the median, in milliseconds."""
    return _OF_MEDIAN * (timing.p90_ms - timing.p10_ms) / _TENTHS / math.sqrt(timing.n)
