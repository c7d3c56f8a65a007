"""Progress on stderr with the time left: a live line on a terminal, otherwise a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from convscale import terminal
from convscale.units import format_count, format_seconds

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.2
SECONDS_BETWEEN_REPORTS = 1.0
BAR = 20  # columns, where the terminal has them
MIN_BAR = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressState:
    """How far a job is. text: what it is at. seconds_left: None before the first step of this sitting."""

    text: str
    step: int
    total_steps: int
    seconds_left: float | None


class Progress:
    """Counts steps of a whole job, `done_steps` of them done before. `quiet` shows nothing at all; `on_progress` is
    called all the same, at most once a second and at the last step."""

    def __init__(
        self,
        total_steps: int,
        *,
        done_steps: int = 0,
        quiet: bool = False,
        on_progress: Callable[[ProgressState], None] | None = None,
    ) -> None:
        self.total_steps = total_steps
        self.quiet = quiet
        self.on_progress = on_progress
        self.live = terminal.takes_codes(sys.stderr)
        self.done_steps = self.steps_before = done_steps
        self.started = self.last_shown = self.last_reported = time.monotonic()

    def skip(self, steps: int) -> None:
        """Count steps that were done before."""
        self.done_steps += steps
        self.steps_before += steps

    def restart_pace(self) -> None:
        """Judge the time left by what comes from now on, which is slower or faster than what was."""
        self.steps_before, self.started = self.done_steps, time.monotonic()

    def step(self, text: str, steps: int = 1, *, pace: str = "") -> None:
        """Count a step, or several; show `text`, how far that is, the `pace` and the time left when it is time to."""
        self.done_steps += steps
        now, ended = time.monotonic(), self.done_steps >= self.total_steps
        if self.on_progress is not None and (ended or now - self.last_reported >= SECONDS_BETWEEN_REPORTS):
            self.last_reported = now
            self.on_progress(self.state(text))
        if self.quiet:
            return
        if self.live and ended:
            terminal.live.clear()
        elif now - self.last_shown >= (SECONDS_BETWEEN_DRAWINGS if self.live else SECONDS_BETWEEN_LINES):
            self.last_shown = now
            if self.live:
                terminal.live.show(self._live_line(text, pace))
            else:
                terminal.live.keep("  ".join(part for part in (text, self._percent(), pace, self._left()) if part))

    def note(self, text: str) -> None:
        """Print a line that stays, about an event."""
        if not self.quiet:
            print_note(text)

    def line(self, text: str) -> None:
        """Print a line that stays, with the time left."""
        self.last_shown = time.monotonic()
        if not self.quiet:
            terminal.live.keep(terminal.fitted(f"{text}  {self._left()}", terminal.width(sys.stderr)))

    def state(self, text: str) -> ProgressState:
        """The progress as data."""
        return ProgressState(
            text=text, step=self.done_steps, total_steps=self.total_steps, seconds_left=self.seconds_left
        )

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the pace so far, None before any step."""
        passed = time.monotonic() - self.started
        done_now = self.done_steps - self.steps_before
        return passed / done_now * max(self.total_steps - self.done_steps, 0) if done_now else None

    def _left(self) -> str:
        return "done" if self.done_steps >= self.total_steps else time_left(self.seconds_left)

    def _percent(self) -> str:
        return f"{self.done_steps / max(self.total_steps, 1):.0%}"

    def _live_line(self, text: str, pace: str) -> str:
        return with_bar(text, self.done_steps / max(self.total_steps, 1), (pace, self._left()))


def with_bar(text: str, share: float, figures: tuple[str, ...]) -> str:
    """`epoch 3/16  [#####.......] 31%  412 images/s  1m05s left`: the bar is as long as the terminal lets it."""
    after = "  ".join((f"{share:.0%}", *filter(None, figures)))
    room = terminal.size(sys.stderr)[0] - terminal.columns(text) - len(after) - len("  [] ") - 1
    length = min(BAR, room)
    if length < MIN_BAR:
        return f"{text}  {after}"
    filled = min(round(length * share), length)
    return f"{text}  [{'#' * filled}{'.' * (length - filled)}] {after}"


def time_left(seconds: float | None) -> str:
    """Whole seconds: an estimate has no others. Empty where there is none."""
    if seconds is None:
        return ""
    return f"{max(round(seconds), 1)}s left" if seconds < 59.5 else f"{format_seconds(seconds)} left"


def images_per_second(images: float, seconds: float) -> str:
    """In three figures."""
    return f"{format_count(float(f'{images / max(seconds, 1e-9):.3g}'))} images/s"


def print_line(text: str) -> None:
    """A line on stderr, broken between words where that is a terminal."""
    terminal.live.keep(terminal.fitted(text, terminal.width(sys.stderr)))


def print_note(text: str) -> None:
    """A note on stderr."""
    terminal.note(text)
