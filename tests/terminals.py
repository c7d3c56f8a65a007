"""A real terminal of a chosen size: commands run in a pseudo-terminal, a terminal emulator shows what a person sees."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pyte

ROWS = 24
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
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    child = subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        env=variables | {"TERM": "xterm-256color", "PYTHONWARNINGS": "error"} | environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    written = bytearray()
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    raw = written.decode()
    return Seen(child.wait(timeout=60), raw, screen(raw, columns))


def convscale(columns: int, *arguments: object, folder: Path | None = None, **environment: str) -> Seen:
    """Run a command of Convscale in a terminal of `columns`."""
    return on_terminal(columns, "-m", "convscale", *arguments, folder=folder, **environment)


def screen(raw: str, columns: int) -> list[str]:
    """The lines that a terminal of `columns` has after `raw`, the earlier ones that scrolled out included."""
    emulated = pyte.HistoryScreen(columns, ROWS, history=100_000, ratio=1.0)
    pyte.Stream(emulated).feed(raw)
    scrolled = ["".join(line[place].data for place in range(columns)) for line in emulated.history.top]
    return [line.rstrip() for line in [*scrolled, *emulated.display]]
