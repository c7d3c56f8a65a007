"""How a run came about, how far it is, and its row in a list of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Doing = Literal["training", "evaluating", "features", "searching", "interrupted", "failed", "finished"]
RunState = Literal["running", "interrupted", "finished", "failed", "damaged"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was chosen for a run."""

    what: str
    """Baseline, recipe, resolution, batch, ..."""
    choice: str
    """What it came to."""
    why: str = ""
    """In words, empty where it was simply asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """How a run came about: story.json."""

    command: str = ""
    """As it was typed, or the Python call; arguments alone, nothing of the environment."""
    started: str = ""
    """The time, ISO 8601 in UTC."""
    decisions: tuple[Decision, ...] = ()
    """What was chosen for it, and why."""
    notes: tuple[str, ...] = ()
    """What was said of the data."""

    def decision(self, what: str) -> Decision | None:
        """What was chosen for `what`, None where the story does not say."""
        return next((one for one in self.decisions if one.what == what), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressRecord:
    """How far a run is: progress.json."""

    step: int
    """Steps that are done; images while features are computed."""
    total_steps: int
    """Of the whole training; of all images while features are computed."""
    epoch: int
    """The one that is trained or evaluated, from 1."""
    epochs: int
    """That it will take, where it does not stop early."""
    seconds_left: float | None = None
    """By the pace so far, None before there is one."""
    images_per_second: float | None = None
    """Of training, in this epoch."""
    updated: float
    """Seconds since 1970."""
    pid: int
    """Of the process that writes."""
    state: Doing
    """What it does, or how it was left; a process that was killed leaves what it did."""
    reason: str = ""
    """Of a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run in a list; `--json` leaves out the reason, which is for people."""

    JSON: ClassVar = (
        "path", "data", "network", "budget", "macs", "params", "top1", "interval95", "state", "started", "seconds",
    )  # fmt: skip

    path: str
    """Of the run folder."""
    data: str | None = None
    """Where the images are from."""
    network: str | None = None
    """Its name."""
    budget: dict[str, float] | None = None
    """Limits by cost key, None where nothing was planned."""
    macs: int | None = None
    """Of the network."""
    params: int | None = None
    """Of the network."""
    top1: float | None = None
    """Of the finished run with its interval, else of the last epoch without one."""
    interval95: tuple[float, float] | None = None
    """Wilson's."""
    state: RunState
    """By the folder alone."""
    started: str | None = None
    """ISO 8601 in UTC."""
    seconds: float | None = None
    """Of training and evaluation; so far of training alone where it is not finished."""
    reason: str = ""
    """Why it failed or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """What `show RUN --json` says of a run beside its network: its row, and how it came about."""

    JSON: ClassVar = (
        "**row", "reason=row.reason", "law", "phi", "used", "held_out", "train_images", "test_images",
        "command=story.command", "decisions=story.decisions", "notes=story.notes", "epochs", "progress",
    )  # fmt: skip

    row: RunRow
    """As in a list."""
    story: Story
    """How it came about."""
    law: str | None
    """The scaling law of its plan; with phi and used None where it was not planned."""
    phi: float | None
    """The place on the law."""
    used: dict[str, float] | None
    """The share of each limit."""
    held_out: str | None
    """The split that was held out; with the counts None where nothing says so."""
    train_images: int | None
    """That it was trained on."""
    test_images: int | None
    """That were held out."""
    epochs: int
    """That are trained."""
    progress: ProgressRecord | None
    """How far it is, None where nothing says so."""
