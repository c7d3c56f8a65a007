"""Accuracy over a cost, as the paper's figures 1, 3 and 8."""

from __future__ import annotations

from convscale.figures.lines import Panel, lines_figure
from convscale.figures.svg import inline_svg
from convscale.report.parts import Chart
from convscale.report.tables import Column, Table, percent, text_column
from convscale.units import format_count, format_number


def lines_chart(panel: Panel, title: str) -> Chart | None:
    """The curves of a panel, with their points as the table; None without a point."""
    points = [(curve, point) for curve in panel.curves for point in curve.points]
    if not points:
        return None
    best, top = max(points, key=lambda one: one[1][1])
    description = (
        f"{format_number(len(panel.curves), 'curve')} over {panel.x_label}: "
        f"{', '.join(one.label for one in panel.curves)}. "
        f"The highest point is of {best.label}: {percent(top[1])} % at {format_count(top[0])}."
    )
    columns = (
        text_column("curve"), Column(panel.x_label, format_count), Column("top-1, %", percent),
        Column("95 %", lambda ends: f"{percent(ends[0])} to {percent(ends[1])}"),
    )  # fmt: skip
    rows = [
        (curve.label, x, accuracy, None if low is None or high is None else (low, high))
        for curve, (x, accuracy, low, high) in points
    ]
    return Chart(title, inline_svg(lines_figure([panel]), title, description), Table(columns, rows))
