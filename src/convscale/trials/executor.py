"""Where trials run: a few slots that each take an attempt and report how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from convscale.trials.trial import Trial, TrialResult


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a trial, in a run folder that no other attempt shares: its number is never used again."""

    trial_number: int  # of the trial in its study, from 0
    number: int  # of the attempt at the trial, from 1
    trial: Trial
    run: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended; `attempt` is the very object that the executor was given.

    finished: with `result`. failed: the trial itself is at fault, a retry would fail again (`reason`). lost: worker,
    process or node went away (`reason`): another attempt resumes from its newest checkpoint.
    """

    attempt: Attempt
    how: Literal["finished", "failed", "lost"]
    result: TrialResult | None = None
    reason: str = ""


class Executor(Protocol):
    """Runs attempts side by side. One process, the coordinator, owns it."""

    @property
    def slots(self) -> int:
        """How many attempts can run at once."""

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; called only while fewer than `slots` run."""

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """The attempts that ended since the last call; returns after the timeout where none did."""

    def close(self, *, grace_seconds: float = 5.0) -> None:
        """End every attempt: ask it to save its state, then kill it; returns when none of its processes is left."""
