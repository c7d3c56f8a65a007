"""How trials of a study ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What one attempt at a trial returned: the held-out accuracy, a fraction, after `steps` steps of training.

    device_seconds: of training and evaluation, interruptions left out. images: training images seen, 0 where unknown.
    device: "cpu" or the GPU's name, precision: "fp32" or "bf16" as trained, both "" where unknown. learning_rate: the
    one used, where it was tuned.
    """

    accuracy: float
    interval95: tuple[float, float]
    steps: int
    device_seconds: float
    images: int = 0
    device: str = ""
    precision: str = ""
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """How a trial ended: finished with a result, or failed with a reason. `attempts` counts those that were begun,
    `run` is the folder of the last, seen from the study's. taken_from: the name of the file of records that the result
    was taken from, "" where it was trained for this study; then `run` is ""."""

    key: str
    number: int
    result: TrialResult | None = None
    failure: str = ""
    attempts: int
    run: str
    taken_from: str = ""
