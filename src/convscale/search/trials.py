"""What a search asks, and what comes back: a network trained from a seed for a number of steps, and its accuracy.

A search is over a callable, so that it needs no training to be tested: `planted` makes one of any function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convscale.networks import ConvNet


@dataclass(frozen=True, slots=True)
class Question:
    """A network to be trained from `seed` for `steps` steps, under a schedule of that length."""

    network: ConvNet
    seed: int
    steps: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The held-out accuracy, a fraction, and what it cost; `accuracy` is None where it failed, `failure` says why."""

    accuracy: float | None
    device_seconds: float
    failure: str = ""


# Answers many questions at once, in their order, so that trials can run side by side.
Evaluator = Callable[[Sequence[Question]], Sequence[Outcome]]


def planted(evaluate: Callable[[ConvNet, int, int], float]) -> Evaluator:
    """An evaluator of `evaluate(network, seed, steps) -> accuracy`. Accuracies that are not finite, and exceptions of
    it, are failures with their reason; a signal or a keyboard interrupt passes through."""

    def answer(questions: Sequence[Question]) -> list[Outcome]:
        return [_ask(evaluate, question) for question in questions]

    return answer


def _ask(evaluate: Callable[[ConvNet, int, int], float], question: Question) -> Outcome:
    started = time.perf_counter()
    try:
        accuracy = float(evaluate(question.network, question.seed, question.steps))
    except Exception as error:
        return Outcome(None, time.perf_counter() - started, f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - started
    if not math.isfinite(accuracy):
        return Outcome(None, seconds, f"the accuracy is {accuracy}")
    return Outcome(accuracy, seconds)
