"""What networks take on a machine, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from convscale.flattening import AsDict

ComputedIn = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment(AsDict):
    """Where something was measured, as far as it decides how fast it is."""

    system: str
    machine: str
    processor: str
    # Its instructions for vectors and matrices, such as avx512f and amx_bf16, as the system calls them.
    flags: tuple[str, ...]
    cores: int
    memory_bytes: int | None
    # Of Python, and of the packages that compute.
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow(AsDict):
    """How long a network takes in an engine. Times are milliseconds per batch."""

    JSON: ClassVar = (
        "network", "engine", "dtype", "threads", "batch", "median_ms", "p10_ms", "p90_ms", "mean_ms", "n",
        "peak_memory_bytes", "max_relative_difference", "busy", "wall_over_cpu", "anchor_ms", "**of_auto",
    )  # fmt: skip

    # Its catalog name, or the file or the run that it came from.
    network: str
    engine: str
    dtype: ComputedIn
    threads: int
    # Images at once.
    batch: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    mean_ms: float
    # How many batches were timed.
    n: int
    # Of a process of its own that opens the engine and runs one batch; None where it was not measured.
    peak_memory_bytes: int | None
    # The largest difference of its logits from the plain module's, over the largest logit.
    max_relative_difference: float | None
    # Whether the machine did something else meanwhile: such a row is compared with nothing.
    busy: bool
    # Wall time over processor time, from which `busy` follows.
    wall_over_cpu: float
    # The anchor's median around these batches.
    anchor_ms: float
    # The engine that "auto" took; None for an engine that was named.
    chosen: str | None = None

    @property
    def of_auto(self) -> dict[str, str] | None:
        """What only the row of the engine "auto" shows."""
        return None if self.chosen is None else {"chosen": self.chosen}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBenched(AsDict):
    """A network that an engine does not run, and why."""

    network: str
    engine: str
    dtype: ComputedIn
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedTime(AsDict):
    """How long a network took somebody else, as they say; it stands beside what is measured, never in it."""

    network: str
    seconds: float
    # On ImageNet.
    top1: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench(AsDict):
    """Networks in engines, timed in the same interleaved rounds."""

    rows: tuple[BenchRow, ...]
    # Pairs of a slow network and the fast one that it is compared with; none but for the paper's table 4.
    quoted: tuple[QuotedTime, ...]
    not_benched: tuple[NotBenched, ...]
    # "network": pixels that are prepared; "images": from an image's bytes to the prediction.
    measured: Literal["network", "images"]
    environment: Environment
    # When it was measured, ISO 8601 in UTC.
    when: str
