"""Tables of benches."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.records import Bench, BenchRow
from convscale.report.tables import Column, Table, text_column
from convscale.units import format_bytes, format_number

SHORT = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}


def bench_tables(bench: Bench) -> list[Table]:
    """A table for each network, an engine a row, the fastest first; rows that were disturbed come last, uncompared."""
    names = dict.fromkeys(row.network for row in bench.rows)
    return [_table(name, [row for row in bench.rows if row.network == name]) for name in names]


def _table(name: str, rows: Sequence[BenchRow]) -> Table:
    columns = (
        text_column("engine", wrap=True), text_column("dtype"), Column("median ms", milliseconds),
        Column("p10", milliseconds, detail=1), Column("p90", milliseconds, detail=1),
        Column("n", "{:,}".format, detail=2), Column("times eager", "{:.2f}".format), Column("memory", format_bytes),
        Column("differ\u00adence", "{:.0e}".format), text_column(""),
    )  # fmt: skip
    ordered = sorted(rows, key=lambda row: (row.busy, row.median_ms))
    eager = base_of(rows)
    lines = [
        (
            engine_of(row), SHORT[row.dtype], row.median_ms, row.p10_ms, row.p90_ms, row.n, speedup(row, eager),
            row.peak_memory_bytes, row.max_relative_difference, "busy" if row.busy else None,
        )
        for row in ordered
    ]  # fmt: skip
    return Table(columns, lines, title=name)


def engine_of(row: BenchRow) -> str:
    """Its name; of the engine "auto" also what it took."""
    return row.engine if row.chosen is None else f"{row.engine}: {row.chosen}"


def base_of(rows: Sequence[BenchRow]) -> BenchRow | None:
    """The row that the others of a network are compared with: `eager` in float32, unless it was disturbed."""
    return next((row for row in rows if (row.engine, row.dtype, row.busy) == ("eager", "float32", False)), None)


def speedup(row: BenchRow, base: BenchRow | None) -> float | None:
    """How many times as fast as `base`; None where one of the two was disturbed or there is no such row."""
    return None if base is None or row.busy else base.median_ms / row.median_ms


def milliseconds(value: float) -> str:
    """Three figures, or whole milliseconds: 0.334, 10.4, 1,153."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}" if value >= 9.995 else f"{value:.2f}"


def bench_text(bench: Bench) -> list[str]:
    """How and where it was measured, what was disturbed, what an engine does not run."""
    here, first = bench.environment, bench.rows[0]
    timed = "a batch, from the bytes of its images to the predictions" if bench.measured == "images" else "a batch"
    versions = ", ".join(f"{name} {version}" for name, version in here.versions.items() if version != "not installed")
    lines = [
        f"{timed} of {format_number(first.batch, 'image')} on {format_number(first.threads, 'thread')}; "
        f"anchor {milliseconds(first.anchor_ms)} ms",
        f"{here.processor or here.machine}, {format_number(here.cores, 'core')}; {versions}",
    ]
    busy = [row for row in bench.rows if row.busy]
    if busy:
        worst = max(row.wall_over_cpu for row in busy)
        lines.append(
            f"busy: {len(busy)} of {format_number(len(bench.rows), 'row')} took up to {worst:.1f} times the processor "
            "time, since other work had the cores; they are compared with nothing"
        )
    lines += [f"{one.engine} does not run {one.network} in {SHORT[one.dtype]}: {one.why}" for one in bench.not_benched]
    return lines


def table4_table(bench: Bench) -> Table:
    """The paper's pairs of networks: its own seconds, quoted, beside the mean of what was measured here."""
    columns = (
        text_column("network"), Column("quoted top-1", "{:.1%}".format), Column("quoted s", "{:.3g}".format),
        Column("quoted times", "{:.1f}".format), Column("mean s here", "{:.3g}".format), Column("n"),
        Column("times here", "{:.1f}".format), text_column(""),
    )  # fmt: skip
    lines = []
    measured = {row.network: row for row in bench.rows}
    for slow, fast in zip(bench.quoted[::2], bench.quoted[1::2], strict=True):
        pair = [measured.get(slow.network), measured.get(fast.network)]
        for one, row in zip((slow, fast), pair, strict=True):
            is_fast = one is fast
            lines.append((
                one.network, one.top1, one.seconds, slow.seconds / fast.seconds if is_fast else None,
                row.mean_ms / 1e3 if row else None, row.n if row else None, _ratio(pair) if is_fast else None,
                "busy" if row and row.busy else None if row else "quoted only",
            ))  # fmt: skip
    return Table(columns, lines, title="the paper's table 4, quoted, and the same networks here")


def _ratio(pair: Sequence[BenchRow | None]) -> float | None:
    slow, fast = pair
    return None if slow is None or fast is None or slow.busy or fast.busy else slow.mean_ms / fast.mean_ms
