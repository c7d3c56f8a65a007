"""What a picture shows, asked of matplotlib: where each text lies, and which cover another or leave the canvas."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

SLACK = 0.6  # pixels that antialiasing takes


def shown_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, with its box in pixels."""
    FigureCanvasAgg(figure).draw()
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis) if one.axison]
    of_ticks = {id(text) for one in figure.axes for axis in (one.xaxis, one.yaxis) for text in axis.findobj(Text)}
    labels = [tick.label1 for axis in axes for tick in axis._update_ticks()]
    labels += [tick.label2 for axis in axes for tick in axis._update_ticks()]
    labels += [text for axis in axes for text in (axis.label, axis.offsetText)]
    others: list[Any] = [text for text in figure.findobj(Text) if id(text) not in of_ticks]
    texts = [text for text in (*others, *labels) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), Text.get_window_extent(text)) for text in texts if not _is_line(text)]


def faults(figure: Figure) -> list[str]:
    """Texts that cover another, and those that are cut by the canvas."""
    texts = shown_texts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    found = [
        f"{text!r} leaves the canvas"
        for text, box in texts
        if box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > width + SLACK or box.y1 > height + SLACK
    ]
    return found + [f"{a!r} covers {b!r}" for (a, one), (b, other) in combinations(texts, 2) if _covers(one, other)]


def _covers(one: Bbox, other: Bbox) -> bool:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    along = min(one.y1, other.y1) - max(one.y0, other.y0)
    return across > SLACK and along > SLACK


def _is_line(text: Text) -> bool:
    """Whether it is the line that leads to a label."""
    return isinstance(text, Annotation) and not text.get_text()
