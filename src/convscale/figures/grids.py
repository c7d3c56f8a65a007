"""The picture of published trainings over width and resolution, as the paper's Figure 4."""

from __future__ import annotations

from pathlib import Path

from convscale.figures.lines import PANEL_INCHES, add_legend, cost_axis, percent_axis
from convscale.figures.style import look, new_figure, save_figure, title_figure
from convscale.records.grids import GridResult


def draw_grids(result: GridResult, path: Path) -> None:
    """Accuracy over MACs, one line per resolution, a panel per family: published points, and the law through them."""
    families = list(dict.fromkeys(point.network for point in result.points))
    sides = sorted({point.resolution for point in result.points}, reverse=True)
    figure = new_figure(PANEL_INCHES[0] * max(len(families), 1.4), 5.2)
    title_figure(
        figure,
        [
            f"{len(result.points)} published trainings on ImageNet, one per network: width alone at each resolution",
            f"points: quoted from {result.spec.source}; lines: a law fitted to each family",
        ],
    )
    for axes, family in zip(figure.subplots(1, len(families), squeeze=False).flat, families, strict=True):
        own = [point for point in result.points if point.network == family]
        axes.set_title(family, fontsize=9)
        axes.set_ylabel("top-1, %")
        axes.grid(alpha=0.3)
        cost_axis(axes, [float(point.macs) for point in own], "MACs")
        percent_axis(axes, [point.top1 for point in own])
        for index, side in enumerate(sides):
            quoted = [point for point in own if point.resolution == side]
            axes.plot(
                [point.macs for point in quoted], [100 * point.top1 for point in quoted], look(1 + index).marker,
                color=look(1 + index).colour, markersize=6, clip_on=not quoted, label=f"{side} px (quoted)",
            )  # fmt: skip
        for curve in (one for one in result.curves if one.network == family):
            x, y = zip(*curve.points, strict=True)
            percent = [100 * top1 for top1 in y]
            if curve.resolution is None:
                axes.plot(x, percent, color="grey", linewidth=5, alpha=0.3, label="best mix by the law", zorder=1)
            else:
                axes.plot(x, percent, color=look(1 + sides.index(curve.resolution)).colour, linewidth=1)
    add_legend(figure)
    save_figure(figure, path)
