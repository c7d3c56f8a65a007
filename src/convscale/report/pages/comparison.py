"""Runs beside one another, and beside networks that others have published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from convscale.costs import Cost, cost
from convscale.figures.lines import Curve, Panel
from convscale.records import RunRow
from convscale.report.charts.lines import lines_chart
from convscale.report.charts.quoted import COSTS, MILLISECONDS, quoted_chart
from convscale.report.parts import Chapter, Part, Section, Text
from convscale.report.tables import Column, Table, interval, text_column
from convscale.runs import Run, read_row
from convscale.units import format_bytes, format_count, format_seconds

IMAGENET = "imagenet"
PUBLISHED = "Beside published networks"
COMPARED = {"params": "parameters", "macs": "MACs", "inference_memory_bytes": "bytes of memory for inference"}
_QUOTED = (
    "Quoted, not measured here: accuracies on ImageNet from the paper's table 2 and from pytorch-image-models "
    "(Apache-2.0), whose recipes differ from family to family; images a second are of one Intel i9-10940X at batch 1. "
    "Memory is Convscale's own count for the networks that its catalog has."
)


def comparison_chapter(runs: Sequence[Run]) -> Chapter:
    """Accuracy over cost of several runs; only where all have the same held-out images."""
    rows = [read_row(run.path) for run in runs]
    sections = [
        Section("Results", [_table(runs, rows)]),
        Section("Accuracy over cost", list(_charts(runs, rows))),
        Section(PUBLISHED, list(published_charts(runs))),
    ]
    return Chapter("The runs side by side", sections)


def _table(runs: Sequence[Run], rows: Sequence[RunRow]) -> Table:
    columns = (
        text_column("run"), text_column("data"), text_column("network"), Column("params", format_count),
        Column("MACs", format_count), Column("memory", format_bytes), Column("top-1", "{:.4f}".format),
        Column("95 %", interval), text_column("state"), Column("time", format_seconds),
    )  # fmt: skip
    cells = [
        (
            row.path, Path(row.data or "").name, row.network, row.params, row.macs,
            cost(run.network()).inference_memory_bytes, row.top1, row.interval95, row.state, row.seconds,
        )
        for run, row in zip(runs, rows, strict=True)
    ]  # fmt: skip
    return Table(columns, cells, "runs")


def _charts(runs: Sequence[Run], rows: Sequence[RunRow]) -> Iterator[Part]:
    found = [run.data() for run in runs]
    if (
        len({None if one is None else (one.fingerprint, one.seed, one.test_images) for one in found}) > 1
        or None in found
    ):
        yield Text(["The runs were measured on different images: their accuracies are not drawn over one another."])
        return
    points = [
        (row.path, cost(run.network()), (row.top1, *row.interval95))
        for run, row in zip(runs, rows, strict=True)
        if row.state == "finished" and row.top1 is not None and row.interval95 is not None
    ]
    for key, label in COMPARED.items():
        curves = tuple(Curve(name, ((float(getattr(costs, key)), *top1),)) for name, costs, top1 in points)
        if (chart := lines_chart(Panel(label, curves), f"Accuracy over {label}")) is not None:
            yield chart


def published_charts(runs: Sequence[Run]) -> Iterator[Part]:
    """What `runs` cost among published networks; on ImageNet, their accuracies too."""
    costs: dict[str, Cost] = {run.network().name: cost(run.network()) for run in runs}
    accuracies = {}
    for run in runs:
        data = run.data()
        if data is not None and data.published == IMAGENET and run.result() is not None:
            accuracies[run.network().name] = run.evaluation().top1
    yield Text([_QUOTED])
    for key in COSTS:
        own = {} if key == MILLISECONDS else {name: float(getattr(one, key)) for name, one in costs.items()}
        yield quoted_chart(key, own, accuracies)
