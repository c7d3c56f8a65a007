"""Results of benches that nobody timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convscale.records import Bench, BenchRow, Environment, NotBenched

HERE = Environment(
    system="Linux", machine="x86_64", processor="A Processor", flags=("avx2",), cores=2, memory_bytes=10**10,
    versions={"python": "3.11.7", "torch": "2.13.0", "openvino": "not installed"},
)  # fmt: skip


def row(engine: str, median_ms: float, **others: Any) -> BenchRow:
    given: dict[str, Any] = {
        "network": "small-mbconv", "dtype": "float32", "threads": 1, "batch": 1, "p10_ms": 0.9 * median_ms,
        "p90_ms": 1.2 * median_ms, "mean_ms": 1.01 * median_ms, "n": 120, "peak_memory_bytes": 334_000_000,
        "max_relative_difference": 3.4e-6, "busy": False, "wall_over_cpu": 1.01, "anchor_ms": 4.2,
    }  # fmt: skip
    return BenchRow(engine=engine, median_ms=median_ms, **(given | others))


def bench(rows: Sequence[BenchRow], **others: Any) -> Bench:
    given: dict[str, Any] = {
        "quoted": (), "not_benched": (), "measured": "network", "environment": HERE,
        "when": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Bench(rows=tuple(rows), **(given | others))


ROWS = (
    row("eager", 10.0),
    row("packed", 5.0),
    row("openvino", 2.5, dtype="bfloat16", max_relative_difference=0.08, peak_memory_bytes=None),
    row("onnxruntime", 2.0, busy=True, wall_over_cpu=2.6),
    row("auto", 4.0, chosen="packed"),
    row("eager", 1234.5, network="efficientnet-b7", n=7),
)
WHOLE = bench(
    ROWS,
    not_benched=(NotBenched(network="small-mbconv", engine="compile", dtype="bfloat16", why="no such operator"),),
)
