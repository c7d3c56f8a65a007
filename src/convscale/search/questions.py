"""What a search asks, and what comes back: a network trained from a seed for a number of steps, and its accuracy.

A search works over a callable, so that it can be tested without training: `evaluator_of` makes one from any function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from convscale.errors import TrainingError
from convscale.networks import ConvNet


@dataclass(frozen=True, slots=True)
class Question:
    """A network to be trained from `seed` for `steps` steps, under a schedule of that length."""

    network: ConvNet
    seed: int
    steps: int
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.network, self.seed, self.steps)))

    def __hash__(self) -> int:
        """Taken once: a network's own hash takes long."""
        return self._hash


@dataclass(frozen=True, slots=True)
class Outcome:
    """The held-out accuracy, a fraction, and what it cost; `accuracy` is None where it failed, `failure` says why."""

    accuracy: float | None
    device_seconds: float
    failure: str = ""


# Answers many questions at once, in their order, so that trials can run side by side.
Evaluator = Callable[[Sequence[Question]], Sequence[Outcome]]


def evaluator_of(evaluate: Callable[[ConvNet, int, int], float]) -> Evaluator:
    """An evaluator of `evaluate(network, seed, steps) -> accuracy`. Accuracies that are not finite, and exceptions
    that it raises, are failures with their reason; a signal or a keyboard interrupt passes through."""

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


@dataclass(slots=True)
class Ledger:
    """What was asked and answered, each question once, and what it cost.

    training_macs: multiply-accumulates of one image forward times steps, over all questions; the search's cost in
    a unit that does not depend on the machine.
    """

    evaluator: Evaluator
    answers: dict[Question, Outcome] = field(default_factory=dict)
    macs: dict[ConvNet, int] = field(default_factory=dict)
    training_macs: int = 0
    device_seconds: float = 0.0
    _accuracies: dict[ConvNet, dict[int, dict[int, float]]] = field(default_factory=dict)
    _failures: dict[ConvNet, str] = field(default_factory=dict)

    def ask(self, questions: Sequence[Question]) -> None:
        """Answer the questions that are still open. Raises TrainingError where the evaluator does not give one answer
        per question."""
        new = [question for question in dict.fromkeys(questions) if question not in self.answers]
        if not new:
            return
        outcomes = list(self.evaluator(new))
        if len(outcomes) != len(new):
            raise TrainingError(f"the evaluator gave {len(outcomes)} answers to {len(new)} questions")
        for question, outcome in zip(new, outcomes, strict=True):
            self._enter(question, _checked(outcome))

    def _enter(self, question: Question, outcome: Outcome) -> None:
        network, seed, steps = question.network, question.seed, question.steps
        self.answers[question] = outcome
        self.training_macs += self.macs[network] * steps
        self.device_seconds += outcome.device_seconds
        if outcome.accuracy is None:
            reason = f"seed {seed}, {steps} steps: {outcome.failure or 'no accuracy'}"
            self._failures.setdefault(network, reason)
        else:
            self._accuracies.setdefault(network, {}).setdefault(steps, {})[seed] = outcome.accuracy

    def accuracies(self, network: ConvNet) -> Mapping[int, Mapping[int, float]]:
        """The accuracies of a network, by steps, then seed; failures left out."""
        return self._accuracies.get(network, {})

    def failure(self, network: ConvNet) -> str:
        """Why a network failed first, empty where it did not."""
        return self._failures.get(network, "")


def _checked(outcome: Outcome) -> Outcome:
    if outcome.accuracy is not None and not math.isfinite(outcome.accuracy):
        return Outcome(None, outcome.device_seconds, f"the accuracy is {outcome.accuracy}")
    return outcome
