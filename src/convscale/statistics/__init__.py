"""Means, differences and orders of accuracies over seeds, with what a few seeds show and what they do not."""

from convscale.statistics.corrections import dunnett, holm
from convscale.statistics.differences import (
    CANNOT_TELL,
    OrderChange,
    order_changes,
    paired_difference,
    rank_correlation,
)
from convscale.statistics.estimates import MeanEstimate, Spread, bartlett
from convscale.statistics.intervals import (
    Interval,
    accuracy_interval,
    mean_interval,
    mean_per_class,
    student_t,
    unnoised,
    wilson_interval,
    within_unit,
)
from convscale.statistics.noise import PooledNoise

__all__ = [
    "CANNOT_TELL",
    "Interval",
    "MeanEstimate",
    "OrderChange",
    "PooledNoise",
    "Spread",
    "accuracy_interval",
    "bartlett",
    "dunnett",
    "holm",
    "mean_interval",
    "mean_per_class",
    "order_changes",
    "paired_difference",
    "rank_correlation",
    "student_t",
    "unnoised",
    "wilson_interval",
    "within_unit",
]
