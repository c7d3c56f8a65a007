"""The learning curves of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convscale.figures.svg import inline_svg
from convscale.figures.training import CURVES, curves_figure
from convscale.records import EpochRecord
from convscale.report.parts import Chart
from convscale.report.tables import Column, Table, percent

_SHOWN: dict[str, Callable[[float], str]] = {
    "train_loss": "{:.4f}".format,
    "top1": percent,
    "learning_rate": "{:.3g}".format,
}


def curve_chart(records: Sequence[EpochRecord], key: str) -> Chart | None:
    """One of CURVES over the epochs; None where fewer than two have it."""
    known = [(record.epoch, getattr(record, key)) for record in records if getattr(record, key) is not None]
    if len(known) < 2:
        return None
    label, show = CURVES[key], _SHOWN[key]
    title = f"{label[:1].upper()}{label[1:]} over the epochs"
    (_, first), (last_epoch, last) = known[0], known[-1]
    description = f"A line over {len(known)} epochs, from {show(first)} to {show(last)} after epoch {last_epoch}."
    svg = inline_svg(curves_figure(records, keys=(key,)), title, description)
    return Chart(title, svg, Table((Column("epoch"), Column(label, show)), known))
