"""The candidates of a search for alpha, beta and gamma."""

from __future__ import annotations

from convscale.figures.svg import inline_svg
from convscale.figures.ternary import search_figure
from convscale.records import CoefficientSearch
from convscale.report.parts import Chart
from convscale.report.tables import Column, Table, percent
from convscale.scaling import DIMENSIONS


def shares_chart(found: CoefficientSearch) -> Chart | None:
    """Accuracy over the shares of the extra cost, as a triangle; None where no candidate has one."""
    length = found.first_length
    rows = [
        (*one.candidate.actual, one.accuracy_by_steps[length])
        for one in found.candidates
        if length in one.accuracy_by_steps
    ]
    if not rows:
        return None
    best = found.best.candidate.actual
    title = "Accuracy over the shares of the extra cost"
    shares = ", ".join(f"{share:.2f} {name}" for name, share in zip(DIMENSIONS, best, strict=True))
    description = (
        f"A triangle with a corner for each of {', '.join(DIMENSIONS)}; {len(rows)} points after {length:,} steps, "
        f"coloured by their accuracy. Ringed: the best, at {shares}, and "
        f"{len(found.equivalent) - 1} that cannot be told from it."
    )
    columns = (*(Column(name, "{:.2f}".format) for name in DIMENSIONS), Column("top-1, %", percent))
    return Chart(title, inline_svg(search_figure(found), title, description), Table(columns, rows))
