"""What a server counts, in the text format of Prometheus (its exposition formats, version 0.0.4)."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(slots=True)
class Counter:
    """A number that only grows, for each value of its label where it has one."""

    name: str
    help: str
    label: str = ""
    values: dict[str, float] = field(default_factory=dict)

    def add(self, amount: float = 1, of: str = "") -> None:
        """Count."""
        self.values[of] = self.values.get(of, 0) + amount

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield from _head(self.name, "counter", self.help)
        for value in sorted(self.values) if self.label else ("",):
            yield _sample(self.name, {self.label: value} if self.label else {}, self.values.get(value, 0))


@dataclass(slots=True)
class Histogram:
    """How many values were at most each of some bounds, and their sum."""

    name: str
    help: str
    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield from _head(self.name, "histogram", self.help)
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            yield _sample(f"{self.name}_bucket", {"le": "+Inf" if bound == float("inf") else f"{bound:g}"}, seen)
        yield _sample(f"{self.name}_sum", {}, self.total)
        yield _sample(f"{self.name}_count", {}, seen)


class Metrics:
    """All that a server counts. `facts` describe it; `waiting` says how many images wait."""

    def __init__(self, facts: Mapping[str, str], waiting: Callable[[], int]) -> None:
        self._facts, self._waiting, self._lock = facts, waiting, threading.Lock()
        self.requests = Counter("convscale_requests_total", "Requests by the status of their answer.", "status")
        self.images = Counter("convscale_images_total", "Images by what became of them.", "outcome")
        self.decoding = Counter("convscale_decoding_cpu_seconds_total", "Processor time of reading images.")
        self.engine = Counter("convscale_engine_seconds_total", "Time in which batches were computed.")
        self.seconds = Histogram("convscale_predict_seconds", "From a request for a prediction to its answer.", SECONDS)
        self.batches = Histogram("convscale_batch_images", "Images that were computed together.", SIZES)

    def answered(self, status: int) -> None:
        """A request was answered."""
        with self._lock:
            self.requests.add(of=str(status))

    def predicted(self, seconds: float, outcomes: Sequence[str]) -> None:
        """A request for predictions was answered, with an outcome for each image."""
        with self._lock:
            self.seconds.add(seconds)
            for outcome in outcomes:
                self.images.add(of=outcome)

    def decoded(self, cpu_seconds: float) -> None:
        """An image was read."""
        with self._lock:
            self.decoding.add(cpu_seconds)

    def computed(self, images: int, seconds: float) -> None:
        """A batch was computed."""
        with self._lock:
            self.batches.add(images)
            self.engine.add(seconds)

    def text(self) -> str:
        """Everything, as GET /metrics answers."""
        with self._lock:
            parts = (self.requests, self.images, self.seconds, self.batches, self.decoding, self.engine)
            lines = [line for part in parts for line in part.lines()]
        lines += _head("convscale_waiting_images", "gauge", "Images that wait or are on their way.")
        lines.append(_sample("convscale_waiting_images", {}, self._waiting()))
        lines += _head("convscale_info", "gauge", "What is served; always 1.")
        lines.append(_sample("convscale_info", self._facts, 1))
        return "\n".join([*lines, *_process_lines()]) + "\n"


def _process_lines() -> Iterator[str]:
    """Processor time and memory of this process, under the names that Prometheus's own clients use."""
    yield from _head("process_cpu_seconds_total", "counter", "Processor time of this process.")
    yield _sample("process_cpu_seconds_total", {}, time.process_time())
    if (resident := resident_bytes()) is not None:
        yield from _head("process_resident_memory_bytes", "gauge", "Memory of this process.")
        yield _sample("process_resident_memory_bytes", {}, resident)


def resident_bytes() -> int | None:
    """Memory that this process holds, None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    named = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{named}}} {value:.10g}" if named else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
