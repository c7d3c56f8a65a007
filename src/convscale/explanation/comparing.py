"""Scores of maps beside those of a control on the same images, with intervals that hold for all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from convscale.records.explanations import ControlDifference, Verdict
from convscale.statistics import holm, paired_difference

Pairs = Mapping[str, tuple[Iterable[float], Iterable[float]]]


def compared(pairs: Pairs, *, control: str) -> tuple[ControlDifference, ...]:
    """By measure, the scores of the maps and those of the control, image by image, of which more is better: their mean
    difference and whether it is certain of all measures together (Holm 1979)."""
    return against({control: pairs})


def against(controls: Mapping[str, Pairs]) -> tuple[ControlDifference, ...]:
    """As `compared`, of several controls at once."""
    keys = [(measure, control) for control, pairs in controls.items() for measure in pairs]
    estimates = []
    for measure, control in keys:
        own, other = (dict(enumerate(map(float, scores))) for scores in controls[control][measure])
        estimates.append(paired_difference(own, other))
    rows = []
    for (measure, control), estimate, confidence in zip(keys, estimates, holm(estimates), strict=True):
        interval = estimate.interval(confidence) if confidence < 1 else None
        verdict: Verdict = "cannot tell" if interval is None else "no better"
        if interval is not None and estimate.certain(confidence):
            verdict = "better" if estimate.mean > 0 else "worse"
        rows.append(ControlDifference(measure, control, estimate.mean, interval, confidence, verdict))
    return tuple(rows)
