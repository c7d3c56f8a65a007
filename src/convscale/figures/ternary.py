"""Pictures of searches: accuracy over the shares of extra cost, as a triangle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convscale.figures.labels import label_points
from convscale.figures.style import new_figure, save_figure, title_figure
from convscale.records import CoefficientSearch
from convscale.scaling import DIMENSIONS
from convscale.units import format_number

Shares = tuple[float, float, float]  # of depth, width and resolution

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.5, math.sqrt(3) / 2))
RINGED = "ringed: the best, thick, and all that cannot be told apart from it"


def draw_search(found: CoefficientSearch, path: Path) -> None:
    """The accuracy of a search's candidates after the length that halving began by, over the shares of extra cost."""
    save_figure(search_figure(found, _title(found)), path)


def search_figure(found: CoefficientSearch, title: Sequence[str] = ()) -> Any:
    """What `draw_search` draws."""
    accuracies = [(one.candidate.actual, one.accuracy_by_steps.get(found.first_length)) for one in found.candidates]
    points = [(shares, accuracy) for shares, accuracy in accuracies if accuracy is not None]
    equal = [one.candidate.actual for one in found.equivalent]
    return ternary_figure(points, found.best.candidate.actual, equal=equal, title=title)


def _title(found: CoefficientSearch) -> list[str]:
    lines = [f"{found.baseline} at {found.cost:g} times its cost: shares of the extra cost"]
    length = format_number(found.first_length, "step")
    if found.training is not None:
        data = found.training.data
        images, held = data.counts
        lines.append(f"{Path(data.source).name}: {images} training and {held} held-out images")
    counts = [len(one.accuracies.get(found.first_length, ())) for one in found.candidates]
    seeds = [count for count in counts if count]
    if seeds:
        few = f"{min(seeds)} to " if min(seeds) < max(seeds) else ""
        lines.append(f"mean after {length}, {few}{format_number(max(seeds), 'seed')}")
    return [*lines, RINGED]


def draw_ternary(
    points: Sequence[tuple[Shares, float]],
    best: Shares,
    path: Path,
    *,
    equal: Sequence[Shares] = (),
    title: Sequence[str] = ("shares of the extra cost", RINGED),
) -> None:
    """A triangle of shares of extra cost, (depth, width, resolution), each point coloured by its accuracy, a fraction;
    `best` and `equal` are ringed. Between three points or more, not on a line, colours are interpolated. `title`:
    lines above it."""
    save_figure(ternary_figure(points, best, equal=equal, title=title), path)


def ternary_figure(
    points: Sequence[tuple[Shares, float]], best: Shares, *, equal: Sequence[Shares] = (), title: Sequence[str] = ()
) -> Any:
    """What `draw_ternary` draws."""
    figure = new_figure(6.6, 6.2)
    title_figure(figure, title)
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.axis("off")
    places = [_place(shares) for shares, _ in points]
    values = [100 * accuracy for _, accuracy in points]
    corners = _draw_frame(axes, places)
    shown = _draw_points(axes, places, values)
    for shares in {*equal, best}:
        size, width = (230, 2.4) if shares == best else (150, 1.2)
        axes.scatter(*_place(shares), facecolors="none", edgecolors="red", s=size, linewidths=width, zorder=4)
    radii = [9.0 if shares == best else 7.0 if shares in equal else 5.0 for shares, _ in points]
    figure.colorbar(shown, ax=axes, fraction=0.04, label="held-out top-1, %")
    label_points(axes, places, [f"{value:.1f}" for value in values], radii, corners)
    return figure


def _draw_points(axes: Any, places: Sequence[tuple[float, float]], values: Sequence[float]) -> Any:
    """The points, and the surface between them."""
    from matplotlib.tri import Triangulation

    x, y = zip(*places, strict=True)
    middle = (min(values) + max(values)) / 2
    half = max(max(values) - middle, 0.05)
    levels = {"cmap": "viridis", "vmin": middle - half, "vmax": middle + half}
    if _spread(places):
        axes.tripcolor(Triangulation(x, y), values, shading="gouraud", rasterized=True, **levels)
    return axes.scatter(x, y, c=values, edgecolors="black", s=50, zorder=3, **levels)


def _draw_frame(axes: Any, places: Sequence[tuple[float, float]]) -> list[Any]:
    """The triangle with its grid, and room for all points, some of which lie a little outside; the corners' names."""
    for share in (0.25, 0.5, 0.75):
        for corner in range(3):
            _draw_grid_line(axes, corner, share)
    axes.plot(*zip(*CORNERS, CORNERS[0], strict=True), color="black", linewidth=1)
    xs, ys = zip(*places, *CORNERS, strict=True)
    axes.set(xlim=(min(xs) - 0.12, max(xs) + 0.12), ylim=(min(ys) - 0.13, max(ys) + 0.13))
    below, above = min(ys) - 0.09, max(ys) + 0.1
    names = zip(DIMENSIONS, ((0.0, below), (1.0, below), (0.5, above)), strict=True)
    return [axes.text(x, y, name, ha="center", va="center", weight="bold") for name, (x, y) in names]


def _place(shares: Shares) -> tuple[float, float]:
    return (
        sum(share * corner[0] for share, corner in zip(shares, CORNERS, strict=True)),
        sum(share * corner[1] for share, corner in zip(shares, CORNERS, strict=True)),
    )


def _draw_grid_line(axes: Any, corner: int, share: float) -> None:
    """Where the share of one dimension is `share`."""
    ends = []
    for other in {0, 1, 2} - {corner}:
        shares = [0.0, 0.0, 0.0]
        shares[corner], shares[other] = share, 1 - share
        ends.append(_place((shares[0], shares[1], shares[2])))
    axes.plot(*zip(*ends, strict=True), color="grey", linewidth=0.5, alpha=0.5)


def _spread(places: Sequence[tuple[float, float]]) -> bool:
    """Whether some three of the places make a triangle."""
    (ax, ay), *rest = places
    return any(abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) > 1e-6 for bx, by in rest for cx, cy in rest)
