"""Pictures of many trainings: accuracy against cost, and over the shares of extra cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscale.figures.style import new_figure, plain, save_figure
from convscale.records import BASELINE, CoefficientSearch, StudyResult, StudyRow
from convscale.records.quoted import QUOTED
from convscale.scaling import DIMENSIONS

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.5, math.sqrt(3) / 2))  # depth, width, resolution


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a picture: points (x, accuracy, low, high), accuracies as fractions, low and high None where no
    interval is known. quoted: drawn apart, as what others measured."""

    label: str
    points: tuple[tuple[float, float, float | None, float | None], ...]
    quoted: bool = False


def draw_lines(panels: Sequence[tuple[str, str, Sequence[Curve]]], path: Path) -> None:
    """Panels side by side, each (title, label of the x axis, curves): top-1 in % over a logarithmic x."""
    figure = new_figure(5.2 * len(panels), 4.2)
    for index, (title, x_label, curves) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), index)
        for curve in curves:
            _draw_curve(axes, curve)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.set_ylabel("top-1, %")
        if any(x > 0 for curve in curves for x, *_ in curve.points):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(_tick_label)
            axes.xaxis.set_minor_formatter(_tick_label)
            axes.tick_params(axis="x", which="both", labelsize=7)
        axes.grid(alpha=0.3)
        if curves:
            axes.legend(fontsize=7)
    save_figure(figure, path)


def _tick_label(value: float, position: int) -> str:
    """Of a logarithmic axis: 1, 2, 3 and 5 of each decade, which leaves room between them."""
    return f"{value:g}" if f"{value:.0e}"[0] in "1235" else ""


def _draw_curve(axes: Any, curve: Curve) -> None:
    points = sorted(curve.points)
    x = [point[0] for point in points]
    y = [100 * point[1] for point in points]
    if curve.quoted:
        axes.plot(x, y, marker="x", linestyle=":", color="grey", alpha=0.8, label=plain(f"{curve.label} (quoted)"))
        return
    below = [100 * (point[1] - point[2]) if point[2] is not None else 0.0 for point in points]
    above = [100 * (point[3] - point[1]) if point[3] is not None else 0.0 for point in points]
    axes.errorbar(x, y, yerr=[below, above], marker="o", markersize=4, capsize=2, label=plain(curve.label))


def draw_study(result: StudyResult, folder: Path) -> None:
    """Accuracy against MACs and against parameters after the longest training, one line per method; one file per
    baseline if methods are compared, families.png for all baselines if there is one method."""
    last = [row for row in result.rows if row.epochs == result.spec.lengths[-1] and row.accuracy is not None]
    baselines = list(dict.fromkeys(row.baseline for row in last))
    if len({row.method for row in last} - {BASELINE}) == 1:
        families = [_curve(name, [row for row in last if row.baseline == name]) for name in baselines]
        _draw({"families": families}, result, folder)
    else:
        _draw({name: _methods([row for row in last if row.baseline == name]) for name in baselines}, result, folder)


def _draw(pictures: dict[str, list[dict[str, Curve]]], result: StudyResult, folder: Path) -> None:
    for name, curves in pictures.items():
        panels: list[tuple[str, str, list[Curve]]] = [
            (f"{name}, {result.spec.lengths[-1]} epochs", "MACs, millions", [one["macs"] for one in curves]),
            ("measured here, over the seeds", "parameters, millions", [one["params"] for one in curves]),
        ]
        if result.spec.quoted:
            panels.append(("the paper's, on ImageNet", "MACs, millions", _quoted()))
        draw_lines(panels, folder / f"{name}.png")


def _methods(rows: list[StudyRow]) -> list[dict[str, Curve]]:
    """A line a method, each from the baseline where costs are equal; lines by factors stand for themselves."""
    base = [row for row in rows if row.method == BASELINE]
    methods = dict.fromkeys(row.method for row in rows if row.method != BASELINE)
    by_method = {method: [row for row in rows if row.method == method] for method in methods}
    return [_curve(method, (base if own[0].asked else []) + own) for method, own in by_method.items()]


def _curve(label: str, rows: list[StudyRow]) -> dict[str, Curve]:
    def points(key: str) -> tuple[Any, ...]:
        return tuple((getattr(row, key) / 1e6, row.accuracy, *(row.interval95 or (None, None))) for row in rows)

    return {key: Curve(label, points(key)) for key in ("macs", "params")}


def _quoted() -> list[Curve]:
    return [
        Curve(name, tuple((macs / 1e6, top1, None, None) for _, macs, top1 in family.values()), quoted=True)
        for name, family in QUOTED.items()
    ]


def draw_search(found: CoefficientSearch, path: Path) -> None:
    """The accuracy of a search's candidates after the length that halving began by, over the shares of extra cost."""
    accuracies = [(one.candidate.actual, one.accuracy_by_steps.get(found.first_length)) for one in found.candidates]
    points = [(shares, accuracy) for shares, accuracy in accuracies if accuracy is not None]
    draw_ternary(points, found.best.candidate.actual, path)


def draw_ternary(
    points: Sequence[tuple[tuple[float, float, float], float]], best: tuple[float, float, float], path: Path
) -> None:
    """A triangle of shares of extra cost, (depth, width, resolution), each point coloured by its accuracy, a fraction;
    `best` is circled. Between three points or more, not on a line, colours are interpolated."""
    from matplotlib.tri import Triangulation

    figure = new_figure(6.4, 5.4)
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.axis("off")
    x, y = zip(*(_place(shares) for shares, _ in points), strict=True)
    values = [100 * accuracy for _, accuracy in points]
    levels = {"cmap": "viridis", "vmin": min(values), "vmax": max(values)}
    if _spread(list(zip(x, y, strict=True))):
        axes.tripcolor(Triangulation(x, y), values, shading="gouraud", alpha=0.85, **levels)
    for share in (0.25, 0.5, 0.75):
        for corner in range(3):
            _draw_grid_line(axes, corner, share)
    axes.plot(*zip(*CORNERS, CORNERS[0], strict=True), color="black", linewidth=1)
    shown = axes.scatter(x, y, c=values, edgecolors="black", s=60, zorder=3, **levels)
    axes.scatter(*_place(best), facecolors="none", edgecolors="red", s=220, linewidths=2, zorder=4)
    for (px, py), value in zip(zip(x, y, strict=True), values, strict=True):
        axes.annotate(f"{value:.1f}", (px, py), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=7)
    for name, (px, py), (dx, dy) in zip(DIMENSIONS, CORNERS, ((-14, -14), (14, -14), (0, 20)), strict=True):
        axes.annotate(name, (px, py), xytext=(dx, dy), textcoords="offset points", ha="center", weight="bold")
    figure.colorbar(shown, ax=axes, fraction=0.04, label="held-out top-1, %")
    axes.set_title("shares of the extra cost; the best is circled", pad=24)
    save_figure(figure, path)


def _place(shares: tuple[float, float, float]) -> tuple[float, float]:
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


def _spread(places: list[tuple[float, float]]) -> bool:
    """Whether some three of the places make a triangle."""
    (ax, ay), *rest = places
    return any(abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) > 1e-6 for bx, by in rest for cx, cy in rest)
