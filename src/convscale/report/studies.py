"""The report of a study, as Markdown, and its rows as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscale.records import Noise, PairedDifference, StudyResult, StudyRow
from convscale.records.quoted import QUOTED
from convscale.report.findings import conclusions, missing
from convscale.report.rates import lines_of_rates
from convscale.report.tables import (
    Column,
    Table,
    as_csv,
    markdown,
    percent,
    point_interval,
    points,
    text_column,
)
from convscale.report.unfinished import unfinished
from convscale.statistics import CANNOT_TELL
from convscale.units import format_count, format_number, format_seconds

COMMAND = "convscale study run study.toml -o DIR"
REUSE = "Reusing what is best at a smaller cost"
UNREACHABLE = "Methods without a network of this cost"
CSV_COLUMNS = (
    "baseline", "method", "asked", "cost_ratio", "depth", "width", "resolution_factor", "network", "resolution", "macs",
    "params", "epochs", "steps", "accuracy", "low", "high", "seeds", "baseline_accuracy", "device_seconds",
    "learned", "settled", "seconds_per_image", "device", "precision", "learning_rate",
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
    lines = [f"# {spec.name}", "", *([spec.question, ""] if spec.question else [])]
    lines += [trained_on(result), "", how_sure(result), "", f"`{COMMAND}` reproduces it."]
    lines += [line for text in missing(result) for line in ("", text)]
    lines += ["", "## Findings", "", *unfinished(result), *conclusions(result)]
    for epochs in reversed(spec.lengths):
        table = row_table(result, epochs)
        lines += ["", f"## {table.title}", "", *markdown(table)]
        differences = [one for one in result.differences if one.epochs == epochs]
        decided = epochs == spec.lengths[-1]
        lines += ["", *markdown(difference_table(differences, decided=decided))] if differences else []
    if result.reuses:
        lines += ["", f"## {REUSE}", "", *markdown(reuse_table(result))]
    lines += lines_of_rates(result.rates)
    if result.unreachable:
        lines += ["", f"## {UNREACHABLE}", "", *unreachable(result)]
    lines += ["", "## Pictures", ""]
    lines += [f"![{name}](pictures/{name}.png)" for name in _pictures(result)]
    if spec.quoted:
        lines += ["", "Quoted from the paper (ImageNet), not measured here:", "", *markdown(quoted_table())]
    return lines


def trained_on(result: StudyResult) -> str:
    """The images, the recipe, lengths, seeds and hours of a study, in a sentence."""
    spec, data = result.spec, result.spec.choice()
    images, held = data.counts
    return (
        f"{Path(data.source).name}: {images} training images and {held} held-out ones, recipe `{spec.recipe}`, "
        f"{_listed(spec.lengths)} epochs, {spec.seeds} seeds, {result.device_seconds / 3600:.2f} device-hours"
        f"{_devices(result.rows)}."
    )


def how_sure(result: StudyResult) -> str:
    """How the intervals are made."""
    if not result.noise:
        return "Intervals are 95 %, by Student's t over the seeds; differences are of pairs of the same seed."
    text = "Intervals are 95 %, by Student's t, with the noise of seeds pooled over the networks of one length that "
    pooled = [_pooled(one, one.spread) for one in result.noise if one.spread is not None]
    text += f"learned: {', '.join(pooled)}. " if pooled else "learned. "
    text += "Differences are of pairs of the same seed, device and precision. Only the longest training decides: its "
    text += f"{format_number(result.comparisons, 'comparison')} between rows that learned and settled are corrected "
    return text + "together (Holm), so that noise alone makes a winner in at most 5 % of reports."


def unreachable(result: StudyResult) -> list[str]:
    """List items: each method without a network at its cost, and why."""
    return [
        f"- {one.baseline}, {one.method}" + (f", {one.asked:g} times" if one.asked else "") + f": {one.reason}"
        for one in result.unreachable
    ]


def _pooled(one: Noise, spread: float) -> str:
    """The noise of one length."""
    unequal = f"; it differs by {' and '.join(one.unequal_by)}, and the widest interval counts" * bool(one.unequal_by)
    epochs = format_number(one.epochs, "epoch")
    return f"{100 * spread:.2f} points after {epochs} ({one.degrees:.3g} degrees of freedom{unequal})"


def _devices(rows: Sequence[StudyRow]) -> str:
    """Where it was trained, if that is known."""
    kinds = dict.fromkeys(row.device + f" in {row.precision}" * bool(row.precision) for row in rows if row.device)
    return f", on {'; '.join(kinds)}" if kinds else ""


def row_table(result: StudyResult, epochs: int) -> Table:
    """The results of all networks after `epochs`."""
    rows = [row for row in result.rows if row.epochs == epochs]
    noted = any(map(_note, rows))
    timed = any(row.seconds_per_image for row in rows)
    cost = "cost" if result.spec.equal == "macs" else "MACs ratio"
    columns = [
        text_column("baseline"), text_column("method", wrap=True), Column(cost, "{:.2f}x".format), Column("px"),
        Column("params", format_count), Column("MACs", format_count), Column("steps", "{:,}".format, detail=1),
        Column("top-1, %", percent), Column("95 %", _interval), Column("seeds"),
        Column("baseline's top-1, %", percent, detail=1), Column("device time", format_seconds, detail=2),
        *([Column("for an image", format_seconds, detail=2)] if timed else ()),
        *([text_column("", wrap=True)] if noted else ()),
    ]  # fmt: skip
    lines = [
        (
            row.baseline, row.method, row.cost_ratio, row.resolution, row.params, row.macs, row.steps, row.accuracy,
            row.interval95, row.seeds, row.baseline_accuracy, row.device_seconds,
            *([row.seconds_per_image] if timed else ()), *([_note(row)] if noted else ()),
        )
        for row in rows
    ]  # fmt: skip
    return Table(columns, lines, f"After {format_number(epochs, 'epoch')}")


def _note(row: StudyRow) -> str | None:
    """What is to be known of a row before it is compared."""
    notes = [f"{len(row.failures)} failed: {row.failures[0]}"] if row.failures else []
    notes += ["did not learn"] if row.accuracy is not None and not row.learned else []
    notes += ["has not settled"] if row.settled is False else []
    notes += [f"seeds on {row.device}"] if ", " in row.device else []
    notes += [f"seeds in {row.precision}"] if ", " in row.precision else []
    return "; ".join(notes) or None


def difference_table(differences: Sequence[PairedDifference], *, decided: bool = True) -> Table:
    """Each pair of methods of one baseline and cost; `decided`, with intervals that are corrected for all comparisons,
    and verdicts."""
    columns = [
        text_column("baseline"), Column("cost", "{:g}x".format), text_column("a - b", wrap=True),
        Column("points", points), Column("95 %", point_interval), Column("pairs", detail=1),
        *((Column("corrected", point_interval), text_column(""), Column("seeds needed to tell")) if decided else ()),
    ]  # fmt: skip
    rows = [
        (
            one.baseline, one.asked or None, f"{one.a} - {one.b}", one.mean, one.interval95, one.pairs,
            *((one.adjusted_interval95, _verdict(one), _needed(one)) if decided else ()),
        )
        for one in differences
    ]  # fmt: skip
    return Table(columns, rows)


def _verdict(one: PairedDifference) -> str:
    if one.adjusted_interval95 is None:
        return "the same network" if one.interval95 == (0.0, 0.0) else "left out"
    return one.verdict


def _needed(one: PairedDifference) -> int | str | None:
    if one.adjusted_interval95 is None or one.verdict != CANNOT_TELL:
        return None
    return one.seeds_to_tell or "more than 1,000"


def reuse_table(result: StudyResult) -> Table:
    """What is lost where the best method of one cost is used at another."""
    columns = (
        text_column("baseline"), Column("epochs"), Column("best at", "{:g}x".format), text_column("is"),
        Column("at", "{:g}x".format), text_column("best is"), Column("regret, points", "{:.2f}".format),
        Column("95 %", point_interval), text_column(""),
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
    return f"{percent(ends[0])} to {percent(ends[1])}"


def _pictures(result: StudyResult) -> list[str]:
    methods = {row.method for row in result.rows if row.method != "baseline"}
    return ["families"] if len(methods) == 1 else list(dict.fromkeys(row.baseline for row in result.rows))


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:-1])) + f" and {values[-1]}"
