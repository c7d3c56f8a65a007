"""How long a training will take in all, said once, by its first steps."""

from __future__ import annotations

import statistics

FORECAST_AFTER_STEPS = 12
SLOW_STEPS = 2  # the first ones
EVALUATION_SHARE = 0.8  # of a forward pass in training, which also keeps what the backward pass needs


class TimeForecast:
    """The seconds of steps, by part, and of waiting for their batches, until enough are known to forecast by."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.waits: list[float] = []

    def seconds_left(self, steps: int, epochs: int, batches_evaluated: float, save_seconds: float) -> float:
        """Of `steps` more and of what each of `epochs` ends with: an evaluation and a checkpoint. One step has been
        counted at least."""
        counted = self.steps[SLOW_STEPS:] or self.steps
        step = statistics.median(sum(seconds.values()) for seconds in counted)
        forward = statistics.median(seconds["forward"] for seconds in counted)
        wait = statistics.median(self.waits)
        evaluation = batches_evaluated * (wait + EVALUATION_SHARE * forward)
        return steps * (step + wait) + epochs * (evaluation + save_seconds)
