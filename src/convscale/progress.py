"""Progress on stderr with the time left: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from convscale.units import format_seconds

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts steps of a whole job, `done_steps` of them done before. `quiet` says nothing at all."""

    def __init__(self, total_steps: int, *, done_steps: int = 0, quiet: bool = False) -> None:
        self.total_steps = total_steps
        self.quiet = quiet
        self.live = sys.stderr.isatty()
        self.done_steps = self.steps_before = done_steps
        self.started = self.told = time.monotonic()

    def skip(self, steps: int) -> None:
        """Count steps that were done before."""
        self.done_steps += steps
        self.steps_before += steps

    def step(self, text: str, steps: int = 1) -> None:
        """Count a step, or several; show `text` with the time left when it is time to."""
        self.done_steps += steps
        now = time.monotonic()
        if now - self.told >= (0.2 if self.live else SECONDS_BETWEEN_LINES):
            self.told = now
            self._show(text, end="\r" if self.live else "\n")

    def note(self, text: str) -> None:
        """Show a line that stays, about something that happened."""
        if not self.quiet:
            tell(text)

    def line(self, text: str) -> None:
        """Show a line that stays, with the time left."""
        self.told = time.monotonic()
        self._show(text, end="\n")

    @property
    def seconds_left(self) -> float:
        """Estimated from the pace so far."""
        passed = time.monotonic() - self.started
        done_now = self.done_steps - self.steps_before
        return passed / max(done_now, 1) * (self.total_steps - self.done_steps)

    def _show(self, text: str, end: str) -> None:
        if not self.quiet:
            left = f"{format_seconds(self.seconds_left)} left" if self.done_steps < self.total_steps else "done"
            clear = "\x1b[K" if self.live else ""
            print(f"{text}  {left}{clear}", end=end, file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """A note on stderr."""
    print(f"note: {text}", file=sys.stderr, flush=True)
