"""Parts of a page as HTML: no script, no address that is fetched, every text escaped."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby

from convscale.figures.svg import numbered
from convscale.report.parts import Chart, Code, Facts, Folded, Gallery, Part, Picture, Section, Text
from convscale.report.tables import Table, as_html
from convscale.units import printable

WIDE = 640  # pixels of a chart that scrolls in place of shrinking

_INLINE = re.compile(r"\*\*(.+?)\*\*|`([^`]+)`")
_WIDTH = re.compile(r'<svg [^>]*width="(\d+)"')


class Markup:
    """Writes parts of one page: no two of its charts share an id."""

    def __init__(self) -> None:
        self._charts = count(1)

    def section(self, section: Section, anchor: str, level: int) -> str:
        """A section under a heading of `level`."""
        parts = "\n".join(self._parts(section.parts))
        return f'<section id="{anchor}">\n<h{level}>{escape(section.title)}</h{level}>\n{parts}\n</section>'

    def _parts(self, parts: Sequence[Part]) -> Iterator[str]:
        for is_chart, group in groupby(parts, lambda part: isinstance(part, Chart)):
            written = [self.part(part) for part in group]
            if is_chart:
                yield '<div class="charts">\n' + "\n".join(written) + "\n</div>"
            else:
                yield from written

    def part(self, part: Part) -> str:
        """One part."""
        match part:
            case Text(lines):
                return "\n".join(_text(lines))
            case Facts(rows):
                return _facts(rows)
            case Code(label, text):
                shown = f"<pre><code>{html.escape(text)}</code></pre>"
                return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(label)}">{shown}</div>'
            case Folded(summary, inner):
                return f"<details><summary>{escape(summary)}</summary>\n{self.part(inner)}\n</details>"
            case Table():
                return _table(part)
            case Chart():
                return self._chart(part)
            case Gallery(pictures, wide):
                return (
                    f'<ul class="gallery{" broad" if wide else ""}">\n' + "\n".join(map(_picture, pictures)) + "\n</ul>"
                )

    def _chart(self, chart: Chart) -> str:
        svg = numbered(chart.svg, next(self._charts))
        width, title = _WIDTH.match(svg), escape(chart.title)
        wide = " wide" if width and int(width[1]) > WIDE else ""
        svg = f'<div class="scroll{wide}" tabindex="0" role="group" aria-label="chart: {title}">{svg}</div>'
        numbers = self.part(Folded(f"Numbers: {chart.title}", chart.table))
        return f'<figure class="chart">\n{svg}\n<figcaption>{title}</figcaption>\n{numbers}\n</figure>'


def escape(text: str) -> str:
    """A text in one line that means only itself."""
    return html.escape(printable(text))


def inline(text: str) -> str:
    """As `escape`, but **bold** and `code` are shown so."""
    return _INLINE.sub(
        lambda match: f"<strong>{match[1]}</strong>" if match[1] else f"<code>{match[2]}</code>", escape(text)
    )


def _text(lines: Iterable[str]) -> Iterator[str]:
    for is_item, group in groupby(lines, lambda line: line.startswith("- ")):
        if is_item:
            yield "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in group) + "</ul>"
        else:
            yield from (f"<p>{inline(line)}</p>" for line in group)


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    """A list of labels, each with all the texts that follow it."""
    groups = groupby(rows, lambda row: row[0])
    items = (
        f"<dt>{escape(label)}</dt>" + "".join(f"<dd>{inline(text)}</dd>" for _, text in own) for label, own in groups
    )
    return "<dl>\n" + "\n".join(items) + "\n</dl>"


def _table(table: Table) -> str:
    label = escape(table.title or "table")
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{label}">{as_html(table)}</div>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode()
    image = f'<img src="data:image/{picture.kind};base64,{data}" alt="{escape(picture.alt)}">'
    caption = "<br>".join(map(escape, picture.caption))
    return f"<li><figure>{image}<figcaption>{caption}</figcaption></figure></li>"
