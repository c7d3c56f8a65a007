"""Labels beside points: each where it covers no other, no point, and stays in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from convscale.figures.style import settle

Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels
Place = tuple[float, float]

RADII = (11, 15, 20, 26, 33, 41, 50, 60, 72, 86, 102, 120, 140)  # points from a point to the middle of its label
LEADER = 18  # beyond this distance a thin line leads to the label


def label_points(
    axes: Any, points: Sequence[Place], texts: Sequence[str], radii: Sequence[float], taken: Sequence[Any]
) -> None:
    """Write each text beside its point, of data's units and a radius in points. `taken`: texts that are not covered
    either. The figure's layout is settled by this."""
    from matplotlib.patheffects import withStroke

    figure = axes.figure
    settle(figure)
    scale = figure.dpi / 72
    centres = [(float(x), float(y)) for x, y in map(axes.transData.transform, points)]
    covered = [
        (x - radius * scale, y - radius * scale, x + radius * scale, y + radius * scale)
        for (x, y), radius in zip(centres, radii, strict=True)
    ]
    covered += [_extents(text) for text in taken]
    room = axes.get_window_extent()
    inside = (max(2.0, room.x0), 2.0, room.x1, figure.bbox.height - 2)
    order = sorted(range(len(points)), key=lambda index: _crowd(centres, index, 40 * scale), reverse=True)
    for index in order:
        shown = axes.annotate(
            texts[index], points[index], xytext=(0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=7, zorder=6,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip
        left, bottom, right, top = _extents(shown)
        half = ((right - left) / 2 + scale, (top - bottom) / 2 + scale)
        dx, dy = _free(centres[index], half, covered, inside, scale)
        shown.set_position((dx / scale, dy / scale))
        x, y = centres[index]
        covered.append((x + dx - half[0], y + dy - half[1], x + dx + half[0], y + dy + half[1]))
        if math.hypot(dx, dy) > LEADER * scale:
            axes.annotate(
                "", points[index], xytext=(dx / scale, dy / scale), textcoords="offset points", zorder=2,
                arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.6, "shrinkA": 5, "shrinkB": 0},
            )  # fmt: skip


def _free(centre: Place, half: Place, covered: Sequence[Box], inside: Box, scale: float) -> Place:
    """The nearest place, in pixels from `centre`, where a label of this half size covers nothing; where there is none,
    the one that covers least."""
    best, least = (0.0, RADII[0] * scale), math.inf
    for radius in RADII:
        for step in range(24):
            angle = math.pi / 2 + math.pi * ((step + 1) // 2) / 12 * (-1 if step % 2 else 1)  # above it first
            dx, dy = (radius * scale + half[0] / 2) * math.cos(angle), radius * scale * math.sin(angle)
            x, y = centre[0] + dx, centre[1] + dy
            box = (x - half[0], y - half[1], x + half[0], y + half[1])
            hidden = sum(_overlap(box, other) for other in covered) + 10 * (_area(box) - _overlap(box, inside))
            if hidden < least:
                best, least = (dx, dy), hidden
            if hidden <= 1e-9:
                return dx, dy
    return best


def _crowd(centres: Sequence[Any], index: int, near: float) -> int:
    """How many points are near: the crowded ones choose first."""
    return sum(math.dist(centres[index], other) < near for other in centres)


def _extents(text: Any) -> Box:
    left, bottom, right, top = text.get_window_extent().extents
    return float(left), float(bottom), float(right), float(top)


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(a: Box, b: Box) -> float:
    return _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
