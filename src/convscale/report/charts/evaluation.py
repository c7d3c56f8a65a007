"""What a network confuses, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.errors import ConfigError
from convscale.figures.evaluation import reliability_figure
from convscale.figures.svg import inline_svg
from convscale.figures.training import confusion_figure, counts_of
from convscale.records import CalibrationBin, EvaluationDetails, expected_calibration_error
from convscale.report.parts import Chart
from convscale.report.tables import Column, Table, text_column
from convscale.units import format_number

WHOLE_MATRIX = 20  # classes of a table with a column for each
MOST = 200  # pairs that a table of pairs lists


def confusion_chart(details: EvaluationDetails) -> Chart | None:
    """The confusion matrix; its table is the matrix where classes are few, else the pairs confused most. None where the
    classes are too many to have been counted."""
    if details.confusion is None:
        return None
    names, cells = details.classes, details.confusion
    if any(not 0 <= at < len(names) for one in cells for at in (one.true, one.predicted)):
        raise ConfigError("details.json: a cell of the confusion matrix is of a class that it does not name")
    images = sum(one.count for one in cells)
    right = sum(one.count for one in cells if one.true == one.predicted)
    title = "Confusion matrix"
    description = (
        f"A row for each of {len(names)} true classes, a column for each predicted one: {right:,} of {images:,} images "
        "lie on the diagonal, where both are the same."
    )
    svg = inline_svg(confusion_figure(counts_of(cells, len(names)), names), title, description)
    if len(names) <= WHOLE_MATRIX:
        counts = {(one.true, one.predicted): one.count for one in cells}
        columns = (text_column("true class"), *(Column(name or "(no name)", "{:,}".format) for name in names))
        rows = [(name, *(counts.get((row, at), 0) for at in range(len(names)))) for row, name in enumerate(names)]
        return Chart(title, svg, Table(columns, rows))
    wrong = sorted((one for one in cells if one.true != one.predicted), key=lambda one: -one.count)[:MOST]
    pairs = [(names[one.true], names[one.predicted], one.count) for one in wrong] or [("none", "none", 0)]
    columns = (text_column("true class"), text_column("predicted"), Column("images", "{:,}".format))
    return Chart(f"{title}; its table has the {len(pairs)} pairs confused most", svg, Table(columns, pairs))


def reliability_chart(bins: Sequence[CalibrationBin]) -> Chart | None:
    """Accuracy by the probability of the predicted class; None where a probability was not finite."""
    if not any(one.n for one in bins):
        return None
    title = "Reliability"
    error = expected_calibration_error(bins)
    filled = format_number(sum(one.n > 0 for one in bins), "bin")
    description = (
        f"Bars of accuracy over the probability of the predicted class, {filled} with images, beside the diagonal of a "
        f"calibrated network. The expected calibration error is {error:.4f}."
    )
    columns = (
        Column("probability above", "{:.3f}".format), Column("up to", "{:.3f}".format), Column("images", "{:,}".format),
        Column("mean probability", "{:.4f}".format), Column("accuracy", "{:.4f}".format),
    )  # fmt: skip
    rows = [
        (one.low, one.high, one.n, one.confidence if one.n else None, one.accuracy if one.n else None) for one in bins
    ]
    return Chart(title, inline_svg(reliability_figure(bins), title, description), Table(columns, rows))
