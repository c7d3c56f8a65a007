"""How long a network takes in engines."""

from __future__ import annotations

from convscale.figures.benches import bench_figure
from convscale.figures.svg import inline_svg
from convscale.records import Bench
from convscale.report.bench import SHORT, engine_of, milliseconds
from convscale.report.parts import Chart
from convscale.report.tables import Column, Table, text_column


def bench_chart(bench: Bench) -> Chart | None:
    """A bar for each engine, from the fastest; None where nothing was timed."""
    if not bench.rows:
        return None
    rows = sorted(bench.rows, key=lambda row: (row.network, row.busy, row.median_ms))
    title = "Milliseconds per batch by engine"
    fastest, slowest = min(rows, key=lambda row: row.median_ms), max(rows, key=lambda row: row.median_ms)
    busy = sum(row.busy for row in rows)
    description = (
        f"{len(rows)} bars of medians with lines from p10 to p90: from {engine_of(fastest)} in {SHORT[fastest.dtype]} "
        f"with {milliseconds(fastest.median_ms)} ms to {engine_of(slowest)} in {SHORT[slowest.dtype]} with "
        f"{milliseconds(slowest.median_ms)} ms" + (f"; {busy} were disturbed and are hatched." if busy else ".")
    )
    columns = (
        text_column("engine"), text_column("dtype"), Column("median ms", milliseconds), Column("p10", milliseconds),
        Column("p90", milliseconds), text_column(""),
    )  # fmt: skip
    lines = [
        (engine_of(row), SHORT[row.dtype], row.median_ms, row.p10_ms, row.p90_ms, "busy" if row.busy else None)
        for row in rows
    ]
    return Chart(title, inline_svg(bench_figure(bench), title, description), Table(columns, lines))
