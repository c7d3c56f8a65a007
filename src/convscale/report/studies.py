"""The report of a study, as Markdown, and its rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from convscale.records import PairedDifference, StudyResult, StudyRow
from convscale.records.quoted import QUOTED
from convscale.statistics import CANNOT_TELL
from convscale.units import format_count

COLUMNS = (
    "baseline", "method", "asked", "cost_ratio", "depth", "width", "resolution_factor", "network", "resolution", "macs",
    "params", "epochs", "steps", "accuracy", "low", "high", "seeds", "baseline_accuracy", "device_seconds",
)  # fmt: skip


def rows_as_csv(result: StudyResult) -> str:
    """A line a row."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in result.rows:
        low, high = row.interval95 or (None, None)
        extra = {"depth": row.scaling.depth, "width": row.scaling.width, "low": low, "high": high}
        extra["resolution_factor"] = row.scaling.resolution
        writer.writerow([extra[key] if key in extra else getattr(row, key) for key in COLUMNS])
    return file.getvalue()


def report(result: StudyResult) -> list[str]:
    """The result, a line each."""
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
    lines += ["", "`convscale study run study.toml -o DIR` gives it again."]
    lines += ["", "## What can be told", "", *conclusions(result)]
    for epochs in reversed(spec.lengths):
        lines += ["", f"## After {epochs} epochs", "", *_table([row for row in result.rows if row.epochs == epochs])]
        lines += _differences([one for one in result.differences if one.epochs == epochs])
    if result.reuses:
        lines += ["", "## Reusing what is best at a smaller cost", "", *_reuses(result)]
    if result.unreachable:
        lines += ["", "## What cannot be had", ""]
        lines += [
            f"- {one.baseline}, {one.method}" + (f", {one.asked:g} times" if one.asked else "") + f": {one.reason}"
            for one in result.unreachable
        ]
    lines += ["", "## Pictures", ""]
    lines += [f"![{name}](pictures/{name}.png)" for name in _pictures(result)]
    if spec.quoted:
        lines += [
            "",
            "Quoted from the paper (ImageNet), not measured here:",
            "",
            "| | params | MACs | top-1 |",
            "|--|--|--|--|",
        ]
        lines += [
            f"| {name} | {format_count(int(params))} | {format_count(int(macs))} | {top1:.3f} |"
            for family in QUOTED.values()
            for name, (params, macs, top1) in family.items()
        ]
    return lines


def conclusions(result: StudyResult) -> list[str]:
    """A line for each cost and baseline: who wins after the longest training, and whether the lengths agree."""
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
        line = f"- {change.baseline} at {change.asked:g} times its MACs: "
        line += "; ".join(sure) if sure else "no difference can be told from the noise of the seeds"
        line += f" ({len(compared) - len(sure)} of {len(compared)} comparisons: {CANNOT_TELL}). "
        line += f"From {change.epochs[0]} to {last} epochs {order.swapped} of {order.pairs} pairs change their order, "
        line += f"{order.certain_swaps} of them beyond the noise; "
        lines.append(line + f"the best {'changes' if order.best_changes else 'stays'}.")
    return lines or ["- No two networks of one baseline have one cost: read the pictures and the rows."]


def _sentence(one: PairedDifference) -> str:
    better, worse, sign = (one.a, one.b, 1) if one.mean > 0 else (one.b, one.a, -1)
    low, high = sorted(sign * end for end in one.interval95 or (0.0, 0.0))
    return f"{better} beats {worse} by {100 * abs(one.mean):.1f} points ({100 * low:.1f} to {100 * high:.1f})"


def _table(rows: Sequence[StudyRow]) -> list[str]:
    lines = [
        "| baseline | method | cost | px | params | MACs | steps | top-1, % | 95 % | seeds | baseline's top-1, % |",
        "|--|--|--|--|--|--|--|--|--|--|--|",
    ]
    for row in rows:
        cells = (
            row.baseline, row.method, f"{row.cost_ratio:.2f}x", str(row.resolution), format_count(row.params),
            format_count(row.macs), f"{row.steps:,}", _percent(row.accuracy),
            "" if row.interval95 is None else f"{_percent(row.interval95[0])} to {_percent(row.interval95[1])}",
            str(row.seeds) + (f" ({len(row.failures)} failed: {row.failures[0]})" if row.failures else ""),
            _percent(row.baseline_accuracy),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _differences(differences: Sequence[PairedDifference]) -> list[str]:
    if not differences:
        return []
    lines = ["", "| baseline | cost | a - b | points | 95 % | | seeds that would tell |", "|--|--|--|--|--|--|--|"]
    for one in differences:
        needed = str(one.seeds_to_tell or "more than 1,000") if one.verdict == CANNOT_TELL else ""
        asked = f"{one.asked:g}x" if one.asked else ""
        cells = (
            one.baseline,
            asked,
            f"{one.a} - {one.b}",
            f"{100 * one.mean:+.2f}",
            _interval(one.interval95),
            one.verdict,
        )
        lines.append(f"| {' | '.join(cells)} | {needed} |")
    return lines


def _reuses(result: StudyResult) -> list[str]:
    lines = ["| baseline | epochs | best at | is | at | best is | regret, points | 95 % | |", f"|{'--|' * 9}"]
    for one in result.reuses:
        cells = (
            one.baseline, str(one.epochs), f"{one.found_at:g}x", one.reused, f"{one.used_at:g}x", one.own_best,
            f"{100 * one.regret:.2f}", _interval(one.interval95), one.verdict,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _interval(ends: tuple[float, float] | None) -> str:
    """Of a difference, in points."""
    return "" if ends is None else f"{100 * ends[0]:+.2f} to {100 * ends[1]:+.2f}"


def _pictures(result: StudyResult) -> list[str]:
    methods = {row.method for row in result.rows if row.method != "baseline"}
    return ["families"] if len(methods) == 1 else list(dict.fromkeys(row.baseline for row in result.rows))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:-1])) + f" and {values[-1]}"
