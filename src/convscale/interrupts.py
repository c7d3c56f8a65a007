"""SIGTERM and Ctrl-C while training: finish the step, save, leave; a second Ctrl-C leaves at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from convscale.errors import TrainingStopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """While entered, a signal only sets `received`; outside the main thread nothing changes."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def stopped(self, where: str, saved: str) -> TrainingStopped:
        """The error that ends the training once the state is saved."""
        name = signal.Signals(self.received or signal.SIGTERM).name
        return TrainingStopped(f"{name} {where}: the state is saved", self.received or signal.SIGTERM, hint=saved)
