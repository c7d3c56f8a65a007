"""What a page is made of, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from convscale.report.tables import Table


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs, of which those that begin with `- ` make a list; **bold** and `code` are shown so."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and their texts; a label may come several times in a row."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Code:
    """What is typed or kept as it stands. label: what it is."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Folded:
    """A part that is shown when it is asked for, and on paper."""

    summary: str
    part: Table | Code


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its numbers. svg: of `figures.svg.inline_svg`, which holds title and description too."""

    title: str
    svg: str
    table: Table


@dataclass(frozen=True, slots=True)
class Picture:
    """A small image file. kind: jpeg, png or webp. alt: what it shows. caption: lines below it."""

    data: bytes
    kind: str
    alt: str
    caption: Sequence[str]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Small pictures beside one another; `wide` ones are several times as wide as they are high."""

    pictures: Sequence[Picture]
    wide: bool = False


Part = Text | Facts | Code | Folded | Table | Chart | Gallery


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a heading; without any it is left out."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Missing:
    """What has no record, and the command that makes it."""

    what: str
    command: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """All about one run, study or search. notice: what a reader must know first, as that it is not done."""

    title: str
    sections: Sequence[Section]
    notice: str = ""
    missing: Sequence[Missing] = field(default=())
