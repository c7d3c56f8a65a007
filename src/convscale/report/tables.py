"""A table as plain data, and what it looks like: lines for a terminal, Markdown, HTML, CSV.

Nothing is ever cut. Where a terminal is too narrow for one line per row, headings and texts are broken between words;
where that is too wide still, a row takes two lines; where even those do not fit, every cell has a line of its own.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, zip_longest
from typing import Any, Literal

from convscale.terminal import columns as columns_of
from convscale.terminal import fitted, wrapped
from convscale.units import printable

GAP = "  "
INDENT = 4  # of a row's second line
MIN_TEXT, MAX_WORD = 20, 40  # columns that a broken text keeps where it has as many; words up to here stay whole
SOFT_HYPHEN = "\u00ad"  # in a heading: it may be broken here, with a hyphen


@dataclass(frozen=True, slots=True)
class Column:
    """show: a cell's value as text, None is empty. detail: the higher, the sooner it moves to a row's second line.
    wrap: a text that may be broken between words."""

    heading: str
    show: Callable[[Any], str] = str
    align: Literal["left", "right"] = "right"
    detail: int = 0
    wrap: bool = False

    @property
    def name(self) -> str:
        """The heading in one line."""
        return self.heading.replace(SOFT_HYPHEN, "")

    def cell(self, value: Any) -> str:
        """A value as it is shown, in one line."""
        return "" if value is None else printable(self.show(value))


text_column = partial(Column, align="left")


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` hold a value for each of `columns`: numbers as they are, not as they are shown."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    title: str = ""

    def cells(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [[column.cell(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]


def interval(ends: Sequence[float]) -> str:
    """(0.4, 0.6) -> '0.4000 to 0.6000'."""
    return f"{ends[0]:.4f} to {ends[1]:.4f}"


def percent(value: float) -> str:
    """0.5 -> '50.00'."""
    return f"{100 * value:.2f}"


def points(value: float) -> str:
    """A difference of accuracies in points: 0.005 -> '+0.50'."""
    return f"{100 * value:+.2f}"


def point_interval(ends: Sequence[float]) -> str:
    """(-0.01, 0.02) -> '-1.00 to +2.00'."""
    return f"{points(ends[0])} to {points(ends[1])}"


def markdown(table: Table) -> list[str]:
    """Lines of Markdown: the table alone, without its title."""
    marks = ("--:" if column.align == "right" else "--" for column in table.columns)
    lines = [[column.name for column in table.columns], *table.cells()]
    head, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return [head, f"|{'|'.join(marks)}|", *body]


def as_html(table: Table) -> str:
    """A <table> whose first cells head their rows; its title is its caption."""

    def cell(tag: str, column: Column, text: str) -> str:
        side = ' class="n"' if column.align == "right" else ""
        return f"<{tag}{side}>{html.escape(text)}</{tag.split()[0]}>"

    heads = [cell('th scope="col"' if one.name else "td", one, one.name) for one in table.columns]
    lines = [
        [
            cell('th scope="row"' if index == 0 and text else "td", column, text)
            for index, (column, text) in enumerate(zip(table.columns, row, strict=True))
        ]
        for row in table.cells()
    ]
    caption = f"<caption>{html.escape(printable(table.title))}</caption>" if table.title else ""
    head = f"<thead><tr>{''.join(heads)}</tr></thead>" if any(one.name for one in table.columns) else ""
    body = "\n".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f"<table>{caption}{head}<tbody>\n{body}\n</tbody></table>"


def as_csv(table: Table) -> str:
    """The unformatted values, one line per row."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(table.rows)
    return file.getvalue()


def terminal_lines(table: Table, width: int | None = None, bold: Callable[[str], str] = str) -> list[str]:
    """Lines of at most `width` columns; of one line per row, as wide as needed, where there is no width."""
    cells = table.cells()
    shown: list[list[str]]
    if lines := next(_layouts(table, cells, width), None):
        shown = [_heading(table, lines, bold), *(_row(table, lines, row) for row in cells)]
    else:
        assert width is not None
        shown = _records(table, cells, width, bold)
    title = fitted(table.title, width).splitlines()
    return [bold(line) for line in title] + [line for lines in shown for line in lines]


@dataclass(frozen=True, slots=True)
class _Line:
    """One of the lines that a row takes: which columns are in it, and how wide they are."""

    columns: tuple[int, ...]
    widths: tuple[int, ...]
    indent: int = 0
    fold: bool = False  # headings are broken to the widths


def _layouts(table: Table, cells: list[list[str]], width: int | None) -> Iterator[list[_Line]]:
    """Those that fit, from the best: one line per row, one with broken headings and texts, two."""
    every = tuple(range(len(table.columns)))
    for fold in (False, True):
        if line := _line(table, cells, every, width, fold=fold):
            yield [line]
    second: list[int] = []
    for index in sorted(every[1:], key=lambda index: (table.columns[index].detail, index), reverse=True):
        second.append(index)
        first = tuple(other for other in every if other not in second)
        upper = _line(table, cells, first, width, fold=True)
        lower = _line(table, cells, tuple(sorted(second)), width, fold=True, indent=INDENT)
        if upper and lower:
            yield [upper, lower]


def _line(
    table: Table, cells: list[list[str]], columns: tuple[int, ...], width: int | None, *, fold: bool, indent: int = 0
) -> _Line | None:
    """The widths of `columns` in a line, None where they do not fit."""
    widths = [
        max([_heading_width(table.columns[index], fold), *(columns_of(row[index]) for row in cells)])
        for index in columns
    ]
    excess = 0 if width is None else indent + sum(widths) + len(GAP) * (len(widths) - 1) - width
    if fold:
        for place, index in enumerate(columns):
            if excess > 0 and table.columns[index].wrap:
                less = min(excess, max(widths[place] - _least([row[index] for row in cells]), 0))
                widths[place], excess = widths[place] - less, excess - less
    if excess > 0:
        return None
    if fold and width is not None:
        _widen([table.columns[index] for index in columns], widths, -excess)
    return _Line(columns, tuple(widths), indent, fold)


def _widen(columns: list[Column], widths: list[int], room: int) -> None:
    """Give the highest headings a line less, as long as there is room."""
    while True:
        heights = [len(_heading_lines(column, width, True)) for column, width in zip(columns, widths, strict=True)]
        highest = max(heights)
        if highest == 1:
            return
        wider = [
            next(more for more in count(width) if len(_heading_lines(column, more, True)) < highest)
            if height == highest else width
            for column, width, height in zip(columns, widths, heights, strict=True)
        ]  # fmt: skip
        room -= sum(wider) - sum(widths)
        if room < 0:
            return
        widths[:] = wider


def _least(texts: list[str]) -> int:
    """Columns that texts keep when they are broken."""
    longest = max((columns_of(word) for text in texts for word in text.split()), default=0)
    return max(MIN_TEXT, longest) if longest <= MAX_WORD else MIN_TEXT


def _heading_width(column: Column, fold: bool) -> int:
    if not fold:
        return columns_of(column.name)
    return max((columns_of(_ended(part)) for part in _parts(column.heading)), default=0)


def _parts(heading: str) -> list[str]:
    """The shortest pieces that a heading may be broken into."""
    return heading.replace(SOFT_HYPHEN, f"{SOFT_HYPHEN} ").split()


def _ended(text: str) -> str:
    """A line that may end inside a word."""
    return f"{text[:-1]}-" if text.endswith(SOFT_HYPHEN) else text


def _heading_lines(column: Column, width: int, fold: bool) -> list[str]:
    """A heading in as few lines of `width` as it needs."""
    if not fold or columns_of(column.name) <= width:
        return [column.name]
    lines = [""]
    for part in _parts(column.heading):
        inside = not lines[-1] or lines[-1].endswith(SOFT_HYPHEN)
        joined = lines[-1].removesuffix(SOFT_HYPHEN) + ("" if inside else " ") + part
        if lines[-1] and columns_of(_ended(joined)) > width:
            lines.append(part)
        else:
            lines[-1] = joined
    return [_ended(line) for line in lines]


def _heading(table: Table, lines: list[_Line], bold: Callable[[str], str]) -> list[str]:
    if not any(column.heading for column in table.columns):
        return []
    shown = []
    for line in lines:
        blocks = [
            _heading_lines(table.columns[index], width, line.fold)
            for index, width in zip(line.columns, line.widths, strict=True)
        ]
        height = max(map(len, blocks))
        shown += _joined(table, line, [[""] * (height - len(block)) + block for block in blocks])
    return [bold(text) for text in shown]


def _row(table: Table, lines: list[_Line], cells: list[str]) -> list[str]:
    shown = []
    for line in lines:
        blocks = [
            [cells[index]] if columns_of(cells[index]) <= width else wrapped(cells[index], width, break_words=True)
            for index, width in zip(line.columns, line.widths, strict=True)
        ]
        shown += _joined(table, line, blocks)
    return [shown[0], *filter(None, shown[1:])]


def _joined(table: Table, line: _Line, blocks: list[list[str]]) -> list[str]:
    """Cells of one or more lines each, beside one another."""
    shown = []
    for texts in zip_longest(*blocks, fillvalue=""):
        padded = []
        for index, width, text in zip(line.columns, line.widths, texts, strict=True):
            space = " " * (width - columns_of(text))
            padded.append(text + space if table.columns[index].align == "left" else space + text)
        shown.append((" " * line.indent + GAP.join(padded)).rstrip())
    return shown


def _records(table: Table, cells: list[list[str]], width: int, bold: Callable[[str], str]) -> list[list[str]]:
    """One line per cell, with its heading; an empty line between rows."""
    names = [column.name for column in table.columns]
    label = max(map(columns_of, names))
    label = label if label <= width // 2 else 0
    shown: list[list[str]] = []
    for row in cells:
        lines = [""] if shown else []
        for name, cell in zip(names, row, strict=True):
            if not cell:
                continue
            indent = " " * (label + len(GAP) if label else len(GAP) if name else 0)
            parts = wrapped(cell, max(width - len(indent), 1), break_words=True)
            if label:
                lines.append(bold(name) + indent[columns_of(name) :] + parts.pop(0))
            elif name:
                lines += [bold(part) for part in wrapped(name, width, break_words=True)]
            lines += [indent + part for part in parts]
        shown.append(lines)
    return shown
