"""The report of a study, as Markdown, and its rows as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscale.records import CURRENCIES, PairedDifference, StudyResult
from convscale.records.quoted import QUOTED
from convscale.report.rates import lines_of_rates
from convscale.report.tables import Column, Table, as_csv, markdown, text_column
from convscale.report.unfinished import unfinished
from convscale.statistics import CANNOT_TELL
from convscale.units import format_count, format_number

CSV_COLUMNS = (
    "baseline", "method", "asked", "cost_ratio", "depth", "width", "resolution_factor", "network", "resolution", "macs",
    "params", "epochs", "steps", "accuracy", "low", "high", "seeds", "baseline_accuracy", "device_seconds",
)  # fmt: skip


def rows_as_csv(result: StudyResult) -> str:
    """One line per row."""
    rows = []
    for row in result.rows:
        low, high = row.interval95 or (None, None)
        extra = {"depth": row.scaling.depth, "width": row.scaling.width, "low": low, "high": high}
        extra["resolution_factor"] = row.scaling.resolution
        rows.append([extra[key] if key in extra else getattr(row, key) for key in CSV_COLUMNS])
    return as_csv(Table([Column(key) for key in CSV_COLUMNS], rows))


def report(result: StudyResult) -> list[str]:
    """The lines of the report."""
    spec = result.spec
    data = spec.choice()
    images = "all" if data.train_images is None else f"{data.train_images:,}"
    held = "all" if data.test_images is None else f"{data.test_images:,}"
    lines = [f"# {spec.name}", "", *([spec.question, ""] if spec.question else [])]
    lines.append(
        f"{Path(data.source).name}: {images} training images and {held} held-out ones, recipe `{spec.recipe}`, "
        f"{_listed(spec.lengths)} epochs, {spec.seeds} seeds, {result.device_seconds / 3600:.2f} device-hours. "
        "Intervals are 95 %, by Student's t over the seeds; differences are of pairs of the same seed."
    )
    lines += ["", "`convscale study run study.toml -o DIR` reproduces it."]
    lines += ["", "## Findings", "", *unfinished(result), *conclusions(result)]
    for epochs in reversed(spec.lengths):
        table = row_table(result, epochs)
        lines += ["", f"## {table.title}", "", *markdown(table)]
        differences = [one for one in result.differences if one.epochs == epochs]
        lines += ["", *markdown(difference_table(differences))] if differences else []
    if result.reuses:
        lines += ["", "## Reusing what is best at a smaller cost", "", *markdown(reuse_table(result))]
    lines += lines_of_rates(result.rates)
    if result.unreachable:
        lines += ["", "## Methods without a network of this cost", ""]
        lines += [
            f"- {one.baseline}, {one.method}" + (f", {one.asked:g} times" if one.asked else "") + f": {one.reason}"
            for one in result.unreachable
        ]
    lines += ["", "## Pictures", ""]
    lines += [f"![{name}](pictures/{name}.png)" for name in _pictures(result)]
    if spec.quoted:
        lines += ["", "Quoted from the paper (ImageNet), not measured here:", "", *markdown(quoted_table())]
    return lines


def conclusions(result: StudyResult) -> list[str]:
    """One line per cost and baseline: which method wins after the longest training, and whether the lengths agree."""
    last = result.spec.lengths[-1]
    lines = []
    for change in result.length_changes:
        if change.epochs[1] != last:
            continue
        where = change.baseline, change.asked, last
        compared = [one for one in result.differences if (one.baseline, one.asked, one.epochs) == where]
        if not compared:
            continue  # a single network of this cost
        sure = [_sentence(one) for one in compared if one.interval95 and one.verdict != CANNOT_TELL]
        order = change.change
        line = f"- {change.baseline} at {change.asked:g} times its {CURRENCIES[result.spec.equal]}: "
        line += "; ".join(sure) if sure else "no difference exceeds the noise of the seeds"
        line += f" ({len(compared) - len(sure)} of {len(compared)} comparisons are inconclusive). "
        line += f"Between {change.epochs[0]} and {last} epochs {order.swapped} of {order.pairs} pairs swap, "
        line += f"{order.certain_swaps} of them beyond the noise; "
        lines.append(line + f"the winner {'changes' if order.best_changes else 'is the same'}.")
    return lines or ["- No two methods reached the same cost, so none can be compared: see the pictures and the rows."]


def _sentence(one: PairedDifference) -> str:
    better, worse, sign = (one.a, one.b, 1) if one.mean > 0 else (one.b, one.a, -1)
    low, high = sorted(sign * end for end in one.interval95 or (0.0, 0.0))
    return f"{better} beats {worse} by {100 * abs(one.mean):.1f} points ({100 * low:.1f} to {100 * high:.1f})"


def row_table(result: StudyResult, epochs: int) -> Table:
    """The results of all networks after `epochs`."""
    rows = [row for row in result.rows if row.epochs == epochs]
    failed = any(row.failures for row in rows)
    columns = [
        text_column("baseline"), text_column("method", wrap=True), Column("cost", "{:.2f}x".format), Column("px"),
        Column("params", format_count), Column("MACs", format_count), Column("steps", "{:,}".format, detail=1),
        Column("top-1, %", _percent), Column("95 %", _interval), Column("seeds"),
        Column("baseline's top-1, %", _percent, detail=1), *([text_column("", wrap=True)] if failed else ()),
    ]  # fmt: skip
    lines = [
        (
            row.baseline, row.method, row.cost_ratio, row.resolution, row.params, row.macs, row.steps, row.accuracy,
            row.interval95, row.seeds, row.baseline_accuracy,
            f"{len(row.failures)} failed: {row.failures[0]}" if row.failures else None,
        )[: len(columns)]
        for row in rows
    ]  # fmt: skip
    return Table(columns, lines, f"After {format_number(epochs, 'epoch')}")


def difference_table(differences: Sequence[PairedDifference]) -> Table:
    """Each pair of methods of one baseline and cost."""
    columns = (
        text_column("baseline"), Column("cost", "{:g}x".format), text_column("a - b", wrap=True),
        Column("points", "{:+.2f}".format), Column("95 %", _signed), text_column(""),
        Column("seeds needed to tell"),
    )  # fmt: skip
    rows = [
        (
            one.baseline, one.asked or None, f"{one.a} - {one.b}", 100 * one.mean, one.interval95, one.verdict,
            (one.seeds_to_tell or "more than 1,000") if one.verdict == CANNOT_TELL else None,
        )
        for one in differences
    ]  # fmt: skip
    return Table(columns, rows)


def reuse_table(result: StudyResult) -> Table:
    """What is lost where the best method of one cost is used at another."""
    columns = (
        text_column("baseline"), Column("epochs"), Column("best at", "{:g}x".format), text_column("is"),
        Column("at", "{:g}x".format), text_column("best is"), Column("regret, points", "{:.2f}".format),
        Column("95 %", _signed), text_column(""),
    )  # fmt: skip
    rows = [
        (
            one.baseline, one.epochs, one.found_at, one.reused, one.used_at, one.own_best, 100 * one.regret,
            one.interval95, one.verdict,
        )
        for one in result.reuses
    ]  # fmt: skip
    return Table(columns, rows)


def quoted_table() -> Table:
    """What the paper reports on ImageNet."""
    columns = (
        text_column(""), Column("params", format_count), Column("MACs", format_count), Column("top-1", "{:.3f}".format),
    )  # fmt: skip
    return Table(columns, [(name, *figures) for family in QUOTED.values() for name, figures in family.items()])


def _interval(ends: tuple[float, float]) -> str:
    """Of an accuracy, in percent."""
    return f"{_percent(ends[0])} to {_percent(ends[1])}"


def _signed(ends: tuple[float, float]) -> str:
    """Of a difference, in points."""
    return f"{100 * ends[0]:+.2f} to {100 * ends[1]:+.2f}"


def _pictures(result: StudyResult) -> list[str]:
    methods = {row.method for row in result.rows if row.method != "baseline"}
    return ["families"] if len(methods) == 1 else list(dict.fromkeys(row.baseline for row in result.rows))


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:-1])) + f" and {values[-1]}"
