"""Chapters as one HTML file that stands alone: styles and pictures are in it, nothing is fetched, nothing is run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.resources import files

from convscale.report.pages.markup import Markup, escape, inline
from convscale.report.parts import Chapter, Missing, Section
from convscale.report.tables import Table, text_column
from convscale.version import __version__

MISSING = "Not in this report"


def document(chapters: Sequence[Chapter], title: str) -> str:
    """The whole file. One chapter's sections are headed by <h2>; those of several by <h3>, below their chapters'."""
    markup, anchors = Markup(), _Anchors()
    alone = len(chapters) == 1
    body, links = [], []
    for chapter in chapters:
        if not alone:
            anchor = anchors.new(chapter.title)
            links.append((anchor, chapter.title))
            body.append(f'<h2 id="{anchor}">{escape(chapter.title)}</h2>')
        body += [f'<p class="notice">{inline(chapter.notice)}</p>'] if chapter.notice else []
        for section in _sections(chapter):
            anchor = anchors.new(section.title)
            links += [(anchor, section.title)] if alone else []
            body.append(markup.section(section, anchor, 2 if alone else 3))
    return "\n".join(_page(title, links, body)) + "\n"


def _page(title: str, links: Sequence[tuple[str, str]], body: Sequence[str]) -> Iterator[str]:
    style = files("convscale.report.pages").joinpath("styles.css").read_text(encoding="utf-8")
    yield "<!DOCTYPE html>"
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta name="generator" content="Convscale {__version__}">'
    yield f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>"
    yield '<header>\n<a class="skip" href="#content">Skip to the content</a>'
    yield f"<h1>{escape(title)}</h1>"
    items = "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>' for anchor, text in links)
    yield f'<nav aria-label="Contents"><ul>{items}</ul></nav>\n</header>'
    yield '<main id="content">'
    yield from body
    yield "</main>"
    yield f'<footer>\n<p class="quiet">Made by Convscale {__version__} from records that were kept.</p>'
    yield "</footer>\n</body>\n</html>"


def _sections(chapter: Chapter) -> Iterator[Section]:
    yield from (section for section in chapter.sections if section.parts)
    if chapter.missing:
        yield Section(MISSING, [_missing_table(chapter.missing)])


def _missing_table(missing: Sequence[Missing]) -> Table:
    columns = (text_column("what has no record"), text_column("the command that makes it"))
    return Table(columns, [(one.what, one.command) for one in missing])


class _Anchors:
    """Names for headings, each once."""

    def __init__(self) -> None:
        self._used: set[str] = {"content"}

    def new(self, title: str) -> str:
        ascii_letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
        name = start = re.sub(r"[^a-z0-9]+", "-", ascii_letters).strip("-") or "part"
        number = 1
        while name in self._used:
            number += 1
            name = f"{start}-{number}"
        self._used.add(name)
        return name
