"""Pictures of benches: how long networks take in engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convscale.figures.style import COLOURS, POINTS, new_figure, save_figure, shorten, text_width, title_figure
from convscale.records import Bench, BenchRow
from convscale.units import format_seconds

_WIDTH, _NAMES = 7.5, 1.7  # inches: of the picture, and of the engines' names in it
_BAR = 0.3  # inches of height
_COLOUR = COLOURS[4]


def draw_bench(bench: Bench, path: Path, title: Sequence[str] = ()) -> None:
    """A panel for each network with a bar for each engine: the median, and a line from p10 to p90. Bars of what was
    disturbed are hatched, and say so. `title`: lines above."""
    save_figure(bench_figure(bench, title), path)


def bench_figure(bench: Bench, title: Sequence[str] = ()) -> Any:
    """What `draw_bench` draws."""
    names = list(dict.fromkeys(row.network for row in bench.rows))
    panels = [[row for row in bench.rows if row.network == name] for name in names]
    heights = [len(rows) * _BAR + 0.75 for rows in panels]
    figure = new_figure(_WIDTH, sum(heights) + 0.4 + 0.25 * len(title))
    title_figure(figure, title)
    every = figure.subplots(len(names), 1, height_ratios=heights, squeeze=False).flat
    for axes, name, rows in zip(every, names, panels, strict=True):
        _draw_panel(axes, rows)
        axes.set_title(shorten(name, (_WIDTH - _NAMES - 1) * POINTS, 10), fontsize=10)
    figure.axes[-1].set_xlabel("milliseconds per batch: median, p10 to p90")
    return figure


def _draw_panel(axes: Any, rows: Sequence[BenchRow]) -> None:
    """The fastest at the top, what was disturbed at the bottom."""
    ordered = sorted(rows, key=lambda row: (row.busy, row.median_ms), reverse=True)
    longest = max(row.p90_ms for row in rows)
    texts = [f" {format_seconds(row.median_ms / 1e3)}{', busy' if row.busy else ''}" for row in ordered]
    for place, (row, text) in enumerate(zip(ordered, texts, strict=True)):
        fill, hatch = ("white", "////") if row.busy else (_COLOUR, "")
        axes.barh(place, row.median_ms, 0.7, color=fill, hatch=hatch, edgecolor=_COLOUR)
        axes.plot([row.p10_ms, row.p90_ms], [place, place], color="black", linewidth=1.5)
        axes.text(max(row.median_ms, row.p90_ms), place, text, va="center", fontsize=8)
    room = max(text_width(text, 8) for text in texts) / POINTS / (_WIDTH - _NAMES - 0.4)
    axes.set(xlim=(0, longest / max(1 - room, 0.3)), ylim=(-0.6, len(rows) - 0.4))
    axes.set_yticks(range(len(rows)), [_engine(row) for row in ordered], fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _engine(row: BenchRow) -> str:
    name = row.engine if row.chosen is None else f"{row.engine}: {row.chosen}"
    return shorten(f"{name} {row.dtype}", _NAMES * POINTS, 8)
