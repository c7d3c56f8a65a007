"""What all pictures share."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from convscale.files import write_atomic
from convscale.machine import cache_folder
from convscale.units import printable

MAX_NAME = 24  # characters of a class name


def new_figure(width: float, height: float) -> Any:
    """An empty figure of inches; matplotlib's cache of fonts goes to Convscale's."""
    _keep_cache()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write it as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: figure.savefig(file, format="png", dpi=110))


def plain(name: str) -> str:
    """A class name that the font can show, in one line, its dollar signs no formula, of MAX_NAME characters at most."""
    return shortened(name, lambda text: len(text) <= MAX_NAME).replace("$", r"\$")


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
