"""Successive halving over paired seeds: which candidates are promoted from one training length to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping


def survivors(candidates: int, reduction: int, keep: int) -> int:
    """How many of `candidates` are promoted from a rung: the best 1/`reduction` of them, at least `keep`."""
    return min(candidates, max(keep, math.ceil(candidates / reduction)))


def best_of(means: Mapping[int, float], count: int) -> list[int]:
    """The `count` candidates of the highest mean accuracy, by number; ties go to the earlier ones."""
    return sorted(sorted(means, key=lambda index: (-means[index], index))[:count])
