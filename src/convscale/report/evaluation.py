"""Tables of evaluations: the classes of one, and the rows of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convscale.records import Evaluation, SweepRow
from convscale.report.tables import Column, Table, interval, text_column

_accuracy: Callable[[float], str] = "{:.4f}".format


def class_table(found: Evaluation) -> Table:
    """Images and accuracy of each class."""
    columns = (text_column("class", wrap=True), Column("images"), Column("top-1", _accuracy))
    return Table(columns, [(row.name, row.n, row.top1) for row in found.per_class])


def confused_table(found: Evaluation) -> Table:
    """The pairs of classes that are confused most."""
    columns = (text_column("true", wrap=True), text_column("predicted", wrap=True), Column("images"))
    rows = [(pair.true, pair.predicted, pair.count) for pair in found.confused or ()]
    return Table(columns, rows, title="most confused")


def sweep_table(rows: Sequence[SweepRow]) -> Table:
    """One row per resolution and crop."""
    columns = (
        Column("px"), Column("crop", "{:g}".format), Column("top-1", _accuracy), Column("95% interval", interval),
        Column("top-5", _accuracy), Column("mean per class", _accuracy), Column("cali\u00adbra\u00adtion error"),
        Column("images/s", "{:,.0f}".format),
    )  # fmt: skip
    lines = [
        (
            row.resolution, row.crop, row.evaluation.top1, row.evaluation.interval95, row.evaluation.top5,
            row.evaluation.mean_per_class, calibration(row.evaluation.ece), row.evaluation.images_per_second,
        )
        for row in rows
    ]  # fmt: skip
    return Table(columns, lines)


def calibration(error: float | None) -> str:
    """Of an evaluation."""
    return "not finite" if error is None else f"{error:.4f}"
