"""What all pictures share: files, colours, titles and names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from convscale.files import write_atomic
from convscale.machine import cache_folder
from convscale.units import printable

MAX_NAME = 24  # characters of a class name
WHOLE = 400  # characters of a name that is wrapped, not cut
POINTS = 72  # per inch
HINTING = 1.06  # how much wider whole pixels can make a line

# Ending -> what would change from day to day, left out: the same figure gives the same bytes.
FORMATS: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}

# Told apart by hue and, in grey, by lightness: neighbours of this list are far apart in both.
COLOURS = ("#000000", "#d96000", "#221850", "#e8b748", "#006daa", "#5f1845", "#30b580", "#9a1717")
ON_LIGHT, ON_DARK = "#080808", "#fefefe"  # texts on coloured cells, the same on light and dark pages
MARKERS = ("*", "o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")


class Look(NamedTuple):
    """How a curve is drawn."""

    colour: str
    marker: str
    line: str


def look(index: int) -> Look:
    """The look of the curve at `index`: 32 are distinct. The first suits a single point, such as a baseline."""
    size = len(COLOURS)
    return Look(COLOURS[index % size], MARKERS[index % size], LINES[index // size % len(LINES)])


def new_figure(width: float, height: float) -> Any:
    """An empty figure of inches; matplotlib's cache of fonts goes to Convscale's."""
    _keep_cache()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write it as PNG, and as SVG and PDF beside it, each whole or not at all."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    settle(figure)
    with matplotlib.rc_context({"svg.hashsalt": "convscale", "pdf.fonttype": 42}):
        for ending, metadata in FORMATS.items():
            options = {"format": ending[1:], "dpi": 110, "metadata": metadata}
            write_atomic(path.with_suffix(ending), partial(figure.savefig, **options))


def settle(figure: Any) -> None:
    """Lay a figure out once and for all. It takes two passes: axes that keep their aspect shrink in the first."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def remove_figure(path: Path) -> None:
    """Remove what `save_figure` wrote, where it is there."""
    for ending in FORMATS:
        path.with_suffix(ending).unlink(missing_ok=True)


def title_figure(figure: Any, lines: Sequence[str], size: float = 10) -> None:
    """Lines above all of a figure, each wrapped to its width; empty ones are left out."""
    room = figure.get_figwidth() * POINTS - 16
    wrapped = [row for line in lines if line for row in wrap(line, room, size)]
    if wrapped:
        figure.suptitle("\n".join(wrapped), fontsize=size)


def wrap(text: str, room: float, size: float) -> list[str]:
    """`text`, as `plain` writes it, in lines of at most `room` points; a word that is longer is broken."""
    lines = [""]
    for word in plain(text, WHOLE).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(joined, size) <= room:
            lines[-1] = joined
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = lines[-1] or word
        while text_width(lines[-1], size) > room and len(fitting := fit(lines[-1], room, size)) < len(lines[-1]):
            lines[-1:] = [fitting, lines[-1][len(fitting) :]]
    return lines


def fit(text: str, room: float, size: float) -> str:
    """As much of the start of `text` as fits in `room` points, one character at least."""
    kept, taken = 0, 0.0
    while kept < len(text) and (taken := taken + text_width(text[kept], size)) <= room:
        kept += 1
    kept = max(1, kept)
    return text[: kept - 1] if kept > 1 and text[kept - 1] == "\\" else text[:kept]  # which escapes the next


def shorten(name: str, room: float, size: float) -> str:
    """`plain`, of at most `room` points."""
    return shortened(name, lambda text: len(text) <= MAX_NAME and text_width(text, size) <= room).replace("$", r"\$")


def text_width(text: str, size: float) -> float:
    """About the width of a line in points, its font `size` points large; a little more than most lines take."""
    return HINTING * size * sum(map(_advance, text.replace(r"\$", "$")))


@cache
def _advance(character: str) -> float:
    """The width of a character in a font of one point."""
    _keep_cache()
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    measured = (
        TextToPath().get_text_width_height_descent(f"|{character}|", FontProperties(size=100), ismath=False)[0]
        - TextToPath().get_text_width_height_descent("||", FontProperties(size=100), ismath=False)[0]
    )
    return float(measured) / 100


def plain(name: str, length: int = MAX_NAME) -> str:
    """A class name that the font can show, in one line of at most `length` characters, its dollar signs no formula."""
    return shortened(name, lambda text: len(text) <= length).replace("$", r"\$")


def shortened(name: str, fits: Callable[[str], bool]) -> str:
    """A class name that the font can show, in one line; where that does not fit, its longest start that does with an
    ellipsis.

    matplotlib's own font has Latin, Greek, Cyrillic, Armenian and Georgian letters. Characters that it lacks, and those
    of scripts that run from right to left, which matplotlib would turn round, are written as Python does: \\u65e5.
    """
    known = _characters()
    units = [
        one if _is_drawn(one, known) else ascii(one)[1:-1] for one in printable(unicodedata.normalize("NFC", name))
    ]
    if fits("".join(units)):
        return "".join(units)
    kept = len(units) - 1
    while kept > 0 and not fits("".join(units[:kept]) + "…"):
        kept -= 1
    return "".join(units[:kept]) + "…"


def colours_of(name: str, count: int = 256) -> list[tuple[int, int, int]]:
    """The colours of one of matplotlib's maps from end to end, RGB of 0 to 255."""
    _keep_cache()
    from matplotlib import colormaps

    shares = (colormaps[name](step / (count - 1)) for step in range(count))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue, _ in shares]


@cache
def text_font(size: int) -> Any:
    """The font of pictures for Pillow, `size` pixels high."""
    _keep_cache()
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont(FontProperties()), size)


def _is_drawn(character: str, known: frozenset[int]) -> bool:
    return ord(character) in known and unicodedata.bidirectional(character) not in ("R", "AL", "AN")


@cache
def _characters() -> frozenset[int]:
    """What the font of pictures has a glyph for."""
    _keep_cache()
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def _keep_cache() -> None:
    """Before matplotlib is imported: its cache of fonts has a place."""
    if not os.environ.get("MPLCONFIGDIR"):
        os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")
