"""How a run came about, how far it is, and its row in a list of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Doing = Literal["training", "evaluating", "features", "searching", "interrupted", "failed", "finished"]
RunState = Literal["running", "interrupted", "finished", "failed", "damaged"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice that was made for a run."""

    what: str
    """Baseline, recipe, resolution, batch, ..."""
    choice: str
    """What was chosen."""
    why: str = ""
    """The reason in words, empty where it was simply requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """How a run came about: story.json."""

    command: str = ""
    """As typed, or the Python call; arguments only, nothing of the environment."""
    started: str = ""
    """The time, ISO 8601 in UTC."""
    decisions: tuple[Decision, ...] = ()
    """What was chosen for it, and why."""
    notes: tuple[str, ...] = ()
    """What was reported about the data."""

    def decision(self, what: str) -> Decision | None:
        """The choice of `what`, None where the story does not say."""
        return next((one for one in self.decisions if one.what == what), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressRecord:
    """How far a run is: progress.json."""

    step: int
    """Steps done; images while features are computed."""
    total_steps: int
    """Of the whole training; of all images while features are computed."""
    epoch: int
    """The epoch being trained or evaluated, from 1."""
    epochs: int
    """Epochs in all, if it does not stop early."""
    seconds_left: float | None = None
    """By the pace so far, None before it is known."""
    images_per_second: float | None = None
    """The speed of training in this epoch."""
    updated: float
    """Seconds since 1970."""
    pid: int
    """The process that writes."""
    state: Doing
    """What it is doing, or how it ended; a process that was killed leaves what it was doing."""
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run in a list; `--json` leaves out the reason, which is for people."""

    JSON: ClassVar = (
        "path", "data", "network", "budget", "macs", "params", "top1", "interval95", "state", "started", "seconds",
    )  # fmt: skip

    path: str
    """The run folder."""
    data: str | None = None
    """Where the images come from."""
    network: str | None = None
    """Its name."""
    budget: dict[str, float] | None = None
    """Limits by cost key, None where nothing was planned."""
    macs: int | None = None
    """Of the network."""
    params: int | None = None
    """Of the network."""
    top1: float | None = None
    """The finished run's, with its interval, else the last epoch's, without one."""
    interval95: tuple[float, float] | None = None
    """Wilson's."""
    state: RunState
    """Judged by the folder alone."""
    started: str | None = None
    """ISO 8601 in UTC."""
    seconds: float | None = None
    """Training and evaluation; where it is not finished, training so far."""
    reason: str = ""
    """Why it failed or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """What `show RUN --json` reports about a run besides its network: its row, and how it came about."""

    JSON: ClassVar = (
        "**row", "reason=row.reason", "law", "phi", "used", "held_out", "train_images", "test_images",
        "command=story.command", "decisions=story.decisions", "notes=story.notes", "epochs", "progress",
    )  # fmt: skip

    row: RunRow
    """As in a list."""
    story: Story
    """How it came about."""
    law: str | None
    """The scaling law of its plan; None, like phi and used, where it was not planned."""
    phi: float | None
    """The place on the law."""
    used: dict[str, float] | None
    """The share of each limit that it uses."""
    held_out: str | None
    """The split that was held out; None, like the counts, where nothing says so."""
    train_images: int | None
    """Images that it was trained on."""
    test_images: int | None
    """Images that were held out."""
    epochs: int
    """Epochs of the training."""
    progress: ProgressRecord | None
    """How far it is, None where nothing says so."""
