"""A real terminal of a chosen size: commands run in a pseudo-terminal, a terminal emulator shows what a person sees."""

from __future__ import annotations

import os
import pty
import re
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyte

from tests.forking import Forked

ROWS = 24
WANTED = {"TERM": "xterm-256color", "PYTHONWARNINGS": "error"} | dict.fromkeys(("NO_COLOR", "COLUMNS", "LINES"))
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Seen:
    """What came of a command. raw: what it wrote, codes and all; lines: the screen at its end and what scrolled out."""

    code: int
    raw: str
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def drawn(self) -> list[str]:
        """Every line that was ever written, those that were drawn over too, without codes."""
        return [line for line in re.split(r"[\r\n]+", CODES.sub("", self.raw)) if line]


def on_terminal(columns: int, *arguments: object, folder: Path | None = None, **environment: str) -> Seen:
    """Run Python with `arguments` in a terminal of `columns`."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, columns))
    words, terminal = tuple(map(str, arguments)), (os.ttyname(theirs),) * 3
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read, ours)
        try:
            code = Forked(words, terminal, folder, WANTED | environment).wait(60)
        finally:
            os.close(theirs)
        raw = reading.result()
    os.close(ours)
    return Seen(code, raw, screen(raw, columns))


def _read(terminal: int) -> str:
    """All that is written to the terminal until nobody has it open any more."""
    written = bytearray()
    with suppress(OSError):  # which says that
        while part := os.read(terminal, 65536):
            written += part
    return written.decode()


def convscale(columns: int, *arguments: object, folder: Path | None = None, **environment: str) -> Seen:
    """Run a command of Convscale in a terminal of `columns`."""
    return on_terminal(columns, "-m", "convscale", *arguments, folder=folder, **environment)


def screen(raw: str, columns: int) -> list[str]:
    """The lines that a terminal of `columns` has after `raw`, the earlier ones that scrolled out included."""
    emulated = pyte.HistoryScreen(columns, ROWS, history=100_000, ratio=1.0)
    pyte.Stream(emulated).feed(raw)
    scrolled = ["".join(line[place].data for place in range(columns)) for line in emulated.history.top]
    return [line.rstrip() for line in [*scrolled, *emulated.display]]
