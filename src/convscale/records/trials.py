"""How trials of a study ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What one attempt at a trial returned: the held-out accuracy, a fraction, after `steps` steps of training.

    device_seconds: of training and evaluation, interruptions left out.
    """

    accuracy: float
    interval95: tuple[float, float]
    steps: int
    device_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """How a trial ended: finished with a result, or failed with a reason. `attempts` counts those that were begun,
    `run` is the folder of the last, seen from the study's."""

    key: str
    number: int
    result: TrialResult | None = None
    failure: str = ""
    attempts: int
    run: str
