"""What all pictures share."""

from __future__ import annotations

import os
import unicodedata
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
    """A class name that the font can show, in one line, its dollar signs no formula.

    matplotlib's own font has Latin, Greek, Cyrillic, Armenian and Georgian letters. Characters that it lacks, and those
    of scripts that run from right to left, which matplotlib would turn round, are written as Python does: \\u65e5.
    """
    known = _characters()
    units = [
        one if _is_drawn(one, known) else ascii(one)[1:-1] for one in printable(unicodedata.normalize("NFC", name))
    ]
    kept, length = 0, 0
    while kept < len(units) and length + len(units[kept]) <= MAX_NAME:
        length += len(units[kept])
        kept += 1
    if kept < len(units) and length == MAX_NAME:
        kept -= 1  # for the mark that says that it is cut
    return "".join(units[:kept]).replace("$", r"\$") + ("…" if kept < len(units) else "")


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
