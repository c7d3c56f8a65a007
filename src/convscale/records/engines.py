"""Which engine was chosen for a network on a machine, and from what."""

from __future__ import annotations

from dataclasses import dataclass

from convscale.display import Display, Displayed
from convscale.flattening import AsDict
from convscale.records.latency import ComputedIn, Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTrial(AsDict):
    """An engine that could have been chosen. Times are milliseconds per batch, None where it was not timed."""

    engine: str
    dtype: ComputedIn
    # The exported file that it runs, "" for the model itself.
    file: str
    median_ms: float | None
    p10_ms: float | None
    p90_ms: float | None
    # How many batches were timed.
    n: int
    # Whether the machine did something else meanwhile: it then enters no choice.
    busy: bool
    # The largest difference of its logits from the plain module's, over the largest logit.
    max_relative_difference: float | None
    # The share of the user's images in which its most probable class is the plain module's; None without images.
    agreement: float | None
    # Of the labelled images, those that it alone gets wrong, and right; None without labels.
    lost: int | None
    won: int | None
    # Why it cannot be chosen, "" where it can.
    refused: str

    @property
    def title(self) -> str:
        """What it is called: the engine, with its numbers where they are not float32, and its file."""
        return _title(self.engine, self.dtype, self.file)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EngineChoice(AsDict, Displayed):
    """The engine that a network was given, and all that were tried, in the same interleaved rounds."""

    network: str
    engine: str
    dtype: ComputedIn
    # The exported file that it runs, "" for the model itself.
    file: str
    threads: int
    # Images at once.
    batch: int
    # As fast as the chosen one, as far as can be told, but less simple: named as trials are.
    ties: tuple[str, ...]
    # "" where the fastest of those that were timed, or the simplest of a tie, was chosen; else why not.
    reason: str
    trials: tuple[EngineTrial, ...]
    # How many of the user's images they were compared on, 0 for noise; whether these have labels.
    images: int
    labelled: bool
    environment: Environment
    # When it was measured, ISO 8601 in UTC.
    when: str
    # A digest of all that it depends on.
    key: str

    @property
    def title(self) -> str:
        """What the chosen one is called, as trials are."""
        return _title(self.engine, self.dtype, self.file)

    def _display(self) -> Display:
        """The trials, the fastest first, and why others were not chosen."""
        timed = sorted(self.trials, key=lambda trial: trial.median_ms or float("inf"))
        rows = tuple(
            (trial.title, "" if trial.median_ms is None else f"{trial.median_ms:.3g}", self._verdict(trial))
            for trial in timed
        )
        place = f"batch {self.batch}, {self.threads} thread{'s' * (self.threads != 1)}"
        notes = tuple(note for note in (self.reason,) if note)
        return Display(f"{self.network} in {self.title}, {place}", ("", "ms", ""), rows, notes)

    def _verdict(self, trial: EngineTrial) -> str:
        if trial.title == self.title:
            return "chosen"
        if trial.title in self.ties:
            return "as fast, as far as can be told"
        return trial.refused or "busy" * trial.busy


def _title(engine: str, dtype: str, file: str) -> str:
    return " ".join(part for part in (engine, "" if dtype == "float32" else dtype, file) if part)
