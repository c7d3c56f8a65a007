"""How an object is displayed: a heading and a small table, as text and as HTML."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

from convscale.units import printable

MAX_ROWS = 12
MAX_CELL = 48
MAX_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Display:
    """A heading, rows under `columns` (none: rows of a name and a value), and lines after them.

    The first `left` columns are words, the others numbers. What is too long for a screen is cut, and says so; what a
    terminal or a page would not print as it stands is escaped.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    left: int = 1

    def text(self) -> str:
        """Lines of at most 110 characters, without a last line break."""
        lines = [_cut(self.title, MAX_WIDTH)]
        table = [self.columns] * bool(self.columns) + self._rows()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = [
                cell.ljust(width) if index < self.left or not self.columns else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(f"  {'  '.join(cells)}".rstrip())
        for note in self._notes():
            lines += textwrap.wrap(printable(note), MAX_WIDTH, initial_indent="  ", subsequent_indent="    ")
        return "\n".join(lines)

    def html(self) -> str:
        """One table and its notes; it needs no style sheet and no script."""
        head = "".join(self._cell("th", index, name) for index, name in enumerate(self.columns))
        body = "".join(
            f"<tr>{''.join(self._cell('td', index, cell) for index, cell in enumerate(row))}</tr>"
            for row in self._rows()
        )
        notes = "".join(f"<div>{_escaped(note)}</div>" for note in self._notes())
        table = f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
        return f"<div><b>{_escaped(_cut(self.title, MAX_WIDTH))}</b>{table if body else ''}{notes}</div>"

    def _rows(self) -> list[tuple[str, ...]]:
        longest = MAX_CELL if self.columns else MAX_WIDTH - 24
        return [tuple(_cut(cell, longest) for cell in row) for row in self.rows[:MAX_ROWS]]

    def _notes(self) -> list[str]:
        left_out = len(self.rows) - MAX_ROWS
        return ([f"... and {left_out:,} more"] if left_out > 0 else []) + [note for note in self.notes if note]

    def _cell(self, tag: str, index: int, text: str) -> str:
        side = "left" if index < self.left or not self.columns else "right"
        return f'<{tag} style="text-align:{side}">{_escaped(text)}</{tag}>'


class Displayed:
    """Prints as its `_display`, in notebooks as a table."""

    __slots__ = ()

    def _display(self) -> Display:
        """What is shown of it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._display().text()

    def _repr_html_(self) -> str:
        return self._display().html()


def _cut(text: str, length: int) -> str:
    text = printable(text)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _escaped(text: str) -> str:
    return html.escape(printable(text))
