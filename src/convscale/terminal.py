"""What stdout and stderr are connected to: a terminal's width and colours, text broken to fit it, and the live lines.

Where a stream is not a terminal nothing is broken, cut or coloured. TERM=dumb allows no escape codes, NO_COLOR no
colours.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from typing import TextIO

STYLES = {"bold": "1", "dim": "2", "red": "31", "yellow": "33"}
COLOURS = ("red", "yellow")
USUAL_SIZE = 80, 24  # where a terminal does not say
_WORD = re.compile(r"(\s*)(\S+)")  # and the space before it
_LABEL = re.compile(r"(\s*\S.*?\s{2,})\S")  # "label  text"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at `stream`."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def takes_codes(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that understands escape codes."""
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def size(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of the terminal that `stream` is, as they are now: it may have been resized."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns = rows = 0
    return columns or USUAL_SIZE[0], rows or USUAL_SIZE[1]


def width(stream: TextIO) -> int | None:
    """Columns of `stream`, None where it is not a terminal: as wide as needed."""
    return size(stream)[0] if is_terminal(stream) else None


def styled(text: str, style: str, stream: TextIO) -> str:
    """`text` in one of STYLES where `stream` shows it."""
    if not takes_codes(stream) or (style in COLOURS and os.environ.get("NO_COLOR")):
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


def columns(text: str) -> int:
    """Columns that `text` takes: two for a wide character, none for one that combines with another."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The beginning of `text` that `width` columns hold."""
    kept = 0
    for place, character in enumerate(text):
        kept += _columns(character)
        if kept > width:
            return text[:place]
    return text


def wrapped(text: str, width: int, *, break_words: bool = False) -> list[str]:
    """`text` in lines of at most `width` columns, broken between words. A longer word, a path say, has a line of its
    own, or with `break_words` several."""
    lines = [""]
    for space, word in _WORD.findall(text):
        while True:
            line = lines[-1] + space + word if lines[-1] else word
            if columns(line) <= width:
                lines[-1] = line
                break
            if lines[-1]:
                lines.append("")
            elif break_words and (start := cut(word, width)):
                lines[-1], word = start, word[len(start) :]
                lines.append("")
            else:
                lines[-1] = word
                break
    return lines


def fitted(line: str, width: int | None) -> str:
    """A line of text, or "label  text", in several where `width` columns are too few; the text stays in its column."""
    if width is None or columns(line) <= width:
        return line
    label = _LABEL.match(line)
    head = label[1] if label and columns(label[1]) <= width // 2 else line[: len(line) - len(line.lstrip())]
    hang = " " * (columns(head) if head.strip() else len(head) + 2)
    first, *others = wrapped(line[len(head) :], max(width - len(hang), 1))
    return "\n".join([head + first, *(hang + other for other in others)])


class LiveLines:
    """Lines at the bottom of stderr that are drawn again and again. What else is printed there clears them first."""

    def __init__(self) -> None:
        self.rows = 0

    def show(self, *lines: str) -> None:
        """Draw `lines` in place of those before, cut to the terminal as it is now, so that nothing wraps or scrolls."""
        width, height = size(sys.stderr)
        lines = tuple(cut(line, width - 1) for line in lines[: height - 1])
        self._write(self._cleared() + "\n".join(lines))
        self.rows = len(lines)

    def clear(self) -> None:
        """Take the lines away."""
        if self.rows:
            self._write(self._cleared())

    def keep(self, text: str) -> None:
        """Clear, and print a line that stays."""
        self._write(f"{self._cleared()}{text}\n")

    def _cleared(self) -> str:
        """What takes the cursor to the first of the lines, and all of them away."""
        rows, self.rows = self.rows, 0
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J" if rows else ""

    def _write(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)


live = LiveLines()  # a process has one stderr


def note(text: str) -> None:
    """A note on stderr, broken between words where that is a terminal."""
    lines = fitted(f"note: {text}", width(sys.stderr))
    live.keep(lines.replace("note:", styled("note:", "yellow", sys.stderr), 1))
