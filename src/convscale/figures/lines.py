"""Accuracy over cost: one line per method, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from convscale.figures.style import LINES, POINTS, Look, look, new_figure, save_figure, text_width, title_figure, wrap
from convscale.units import format_count

PANEL_INCHES = (4.6, 3.6)
SHARED = math.log(1.05)  # costs at most this far apart count as one: they stand side by side
SIDE_BY_SIDE = 0.024  # between two of them, of a panel's width
QUOTED = tuple(
    Look(colour, marker, ":")
    for colour, marker in (
        ("#555555", "x"), ("#999999", "+"), ("#333333", "1"), ("#777777", "2"), ("#555555", "3"), ("#999999", "4"),
        ("#333333", "|"), ("#777777", "_"), ("#555555", "."),
    )
)  # fmt: skip

Point = tuple[float, float, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a picture: points (x, accuracy, low, high), accuracies as fractions, low and high None where no
    interval is known. start: (x, accuracy) where the line begins, without a mark of its own. quoted: drawn apart, as
    what others measured. line: whether the points are joined."""

    label: str
    points: tuple[Point, ...]
    start: tuple[float, float] | None = None
    quoted: bool = False
    line: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over one kind of cost, which `x_label` names. marks: labelled costs, each a line from top to bottom."""

    x_label: str
    curves: tuple[Curve, ...]
    title: str = ""
    marks: tuple[tuple[str, float], ...] = ()


def draw_lines(panels: Sequence[Panel], path: Path, title: Sequence[str] = ()) -> None:
    """Panels side by side: top-1 in %, within 0 and 100, over a logarithmic cost. `title`: lines above all of them."""
    save_figure(lines_figure(panels, title), path)


def lines_figure(panels: Sequence[Panel], title: Sequence[str] = ()) -> Any:
    """What `draw_lines` draws."""
    looks = _looks(panels)
    width = PANEL_INCHES[0] * max(len(panels), 1.4)
    figure = new_figure(width, PANEL_INCHES[1] + 1.0 + 0.19 * -(-len(looks) // 3))
    title_figure(figure, title)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
        _draw_panel(axes, panel, looks)
    add_legend(figure)
    return figure


def add_legend(figure: Any) -> None:
    """One legend for all axes of a figure, below them, in as many columns as fit."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    if not handles:
        return
    room, size = figure.get_figwidth() * POINTS - 24, 8.0
    labels = ["\n".join(wrap(label, min(260.0, room - 40), size)) for label in handles]
    widest = max(text_width(line, size) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), int(room // (widest + 46))))
    figure.legend(handles.values(), labels, loc="outside lower center", ncols=columns, fontsize=size)


def _looks(panels: Sequence[Panel]) -> dict[str, Look]:
    """The look of each curve by its label, the same in all panels."""
    curves = {curve.label: curve for panel in panels for curve in panel.curves}
    own = [label for label, curve in curves.items() if not curve.quoted]
    others = [label for label, curve in curves.items() if curve.quoted]
    if not own:  # nothing to stand apart from
        return {label: look(1 + index) for index, label in enumerate(others)}
    first = 0 if any(len(curves[label].points) == 1 for label in own[:1]) else 1  # a star suits a single point
    looks = {label: look(first + index) for index, label in enumerate(own)}
    return looks | {label: QUOTED[index % len(QUOTED)] for index, label in enumerate(others)}


def _draw_panel(axes: Any, panel: Panel, looks: dict[str, Look]) -> None:
    axes.set_title("\n".join(wrap(panel.title, PANEL_INCHES[0] * POINTS - 60, 9)), fontsize=9)
    axes.set_ylabel("top-1, %")
    axes.grid(alpha=0.3)
    points = [point for curve in panel.curves for point in curve.points]
    if not points:
        axes.set(xticks=(), yticks=(), xlabel=panel.x_label)
        axes.text(0.5, 0.5, "no result", ha="center", va="center", transform=axes.transAxes)
        return
    cost_axis(axes, [point[0] for point in points] + [cost for _, cost in panel.marks], panel.x_label)
    for index, (label, cost) in enumerate(panel.marks):
        axes.axvline(cost, color="black", linestyle=LINES[(1 + index) % len(LINES)], linewidth=1.2, label=label)
    percent_axis(axes, [end for point in points for end in point[1:] if end is not None])
    places = side_by_side([[point[0] for point in curve.points] for curve in panel.curves], axes.get_xlim())
    for curve, xs in zip(panel.curves, places, strict=True):
        _draw_curve(axes, curve, xs, looks[curve.label], _moved(curve.start, panel.curves, places))


def _moved(
    start: tuple[float, float] | None, curves: Sequence[Curve], places: Sequence[Sequence[float]]
) -> tuple[float, float] | None:
    """Where the point is drawn that a line starts from."""
    for curve, xs in zip(curves, places, strict=True):
        for point, x in zip(curve.points, xs, strict=True):
            if point[:2] == start:
                return x, point[1]
    return start


def _draw_curve(axes: Any, curve: Curve, xs: Sequence[float], style: Look, start: tuple[float, float] | None) -> None:
    drawn = sorted(zip(xs, curve.points, strict=True))
    y = [100 * clipped(point[1]) for _, point in drawn]
    low = [100 * clipped(point[1] if point[2] is None else point[2]) for _, point in drawn]
    high = [100 * clipped(point[1] if point[3] is None else point[3]) for _, point in drawn]
    line = [(start[0], 100 * clipped(start[1]))] if start else []
    line += [(x, value) for (x, _), value in zip(drawn, y, strict=True)]
    if curve.line and len(line) > 1:
        axes.plot(*zip(*line, strict=True), linestyle=style.line, color=style.colour, linewidth=1.2, alpha=0.85)
    size = {"*": 10, "+": 7, "1": 8}.get(style.marker, 6)
    bars = [[at - down for at, down in zip(y, low, strict=True)], [up - at for at, up in zip(y, high, strict=True)]]
    axes.errorbar(
        [x for x, _ in drawn], y, yerr=None if curve.quoted else bars, color=style.colour, marker=style.marker,
        markersize=size, capsize=2.5, linewidth=1, linestyle="none", label=curve.label, clip_on=False, zorder=3,
    )  # fmt: skip


def clipped(share: float) -> float:
    """A fraction within 0 and 1."""
    return min(1.0, max(0.0, share))


def side_by_side(costs: Sequence[Sequence[float]], limits: tuple[float, float]) -> list[list[float]]:
    """Where the points of each curve are drawn on a logarithmic axis from `limits`: at their costs; those that share a
    cost next to one another, in the order of the curves."""
    entries = sorted((math.log(x), curve, index) for curve, own in enumerate(costs) for index, x in enumerate(own))
    groups: list[list[tuple[float, int, int]]] = []
    for entry in entries:
        if groups and entry[0] - groups[-1][0][0] <= SHARED:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    middles = [(group[0][0] + group[-1][0]) / 2 for group in groups]
    span = math.log(limits[1] / limits[0])
    room = min([b - a for a, b in pairwise(middles)], default=span)
    places = [list(own) for own in costs]
    for middle, group in zip(middles, groups, strict=True):
        gap = min(SIDE_BY_SIDE * span, 0.8 * room / len(group))
        for rank, (_, curve, index) in enumerate(sorted(group, key=lambda entry: entry[1:])):
            if len(group) > 1:
                places[curve][index] = math.exp(middle + (rank - (len(group) - 1) / 2) * gap)
    return places


def percent_axis(axes: Any, shares: Sequence[float]) -> None:
    """A vertical axis in % that holds all of `shares`, fractions, and nothing below 0 or above 100."""
    low, high = 100 * clipped(min(shares)), 100 * clipped(max(shares))
    room = max(0.06 * (high - low), 0.5)
    axes.set_ylim(max(0.0, low - room), min(100.0, high + room))


def cost_axis(axes: Any, costs: Sequence[float], label: str) -> None:
    """A logarithmic horizontal axis over `costs`, with ticks such as 20M and 1G."""
    from matplotlib.ticker import FixedLocator, NullLocator

    room = 1.04 * (max(costs) / min(costs)) ** 0.07
    low, high = min(costs) / room, max(costs) * room
    ticks = cost_ticks(low, high)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: ticks.get(value) or format_count(value))
    axes.set_xlabel(label)


def cost_ticks(low: float, high: float, most: int = 7) -> dict[float, str]:
    """Round values from `low` to `high` with their labels, which differ; on a logarithmic axis none is near another."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in found if low <= value <= high]
        near = any(math.log(b / a) < 0.11 * math.log(high / low) for a, b in pairwise(inside))
        if len(inside) <= most and not near:
            break
    else:
        inside = inside[:: -(-len(inside) // most)]
    if len(inside) < 2:
        step = 10.0 ** math.floor(math.log10(high - low))
        inside = [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
        inside = inside[:: -(-len(inside) // 4)]
    labels = {format_count(value): value for value in reversed(inside)}
    return {value: text for text, value in reversed(labels.items())}
