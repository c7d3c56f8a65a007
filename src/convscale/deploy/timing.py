"""How long calls take, side by side: in rounds that interleave them, so that whatever the machine does meets all alike.

On one thread a call that had the machine to itself takes as long as it computes. Where it took more than BUSY times its
processor time something else was running: it is measured again, and marked if that does not help.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean, median, quantiles

BUSY = 1.1  # wall over processor time
ROUNDS = 20  # into which the seconds of a call are divided
WARM_UPS = 3  # calls that are not counted
LEAST = 7  # calls that are
TRIES = 3
ANCHORS = 3  # passes of the anchor before every round and after the last

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of `n` calls. anchor_ms: the anchor's median around them. wall_over_cpu: wall time over processor
    time of these calls, or of the anchor where they ran on several threads; busy where it is above BUSY."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    mean_ms: float
    n: int
    anchor_ms: float
    wall_over_cpu: float

    @property
    def busy(self) -> bool:
        """Whether the machine did something else meanwhile, so that this must not be compared with anything."""
        return self.wall_over_cpu > BUSY


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds since whenever: real ones, this process's processor time over all threads, and this thread's."""

    wall: Callable[[], float] = time.perf_counter
    process: Callable[[], float] = time.process_time
    thread: Callable[[], float] = time.thread_time


@dataclass(slots=True)
class _Times:
    """Wall and processor seconds, call by call."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, call: Call, wall: Callable[[], float], cpu: Callable[[], float]) -> None:
        cpu_before, before = cpu(), wall()
        call()
        self.wall.append(wall() - before)
        self.cpu.append(cpu() - cpu_before)

    def wall_over_cpu(self) -> float:
        return sum(self.wall) / max(sum(self.cpu), 1e-9)


def interleaved(
    calls: Mapping[str, Call],
    *,
    seconds: float = 2.0,
    threads: int = 1,
    least: int = LEAST,
    tries: int = TRIES,
    anchor: Call | None = None,
    clocks: Clocks | None = None,
) -> dict[str, Timing]:
    """The times of each of `calls`, each of which computes on `threads` threads, by name.

    Every call is warmed up, then timed for about `seconds`, at least `least` times (two or more), in rounds in which
    each has its turn, in one order and then in the other; the `anchor` (by default `anchor_run`) is timed before, after
    and between rounds. What was disturbed is measured again, up to `tries` times in all, and the least disturbed of
    its timings is returned. Whatever a call raises ends it all.
    """
    clocks = clocks or Clocks()
    anchor = anchor or _anchor()
    once = {name: _warmed_up(call, seconds, clocks) for name, call in calls.items()}
    _warmed_up(anchor, seconds, clocks)
    best: dict[str, Timing] = {}
    pending = dict(calls)
    with _without_collection():
        for _ in range(tries):
            session = _Session(pending, anchor, clocks)
            session.run(seconds, least, once)
            for name in pending:
                timing = session.timing(name, threads)
                if name not in best or timing.wall_over_cpu < best[name].wall_over_cpu:
                    best[name] = timing
            pending = {name: call for name, call in pending.items() if best[name].busy}
            if not pending:
                break
    return {name: best[name] for name in calls}


class _Session:
    """The rounds of one try."""

    def __init__(self, calls: Mapping[str, Call], anchor: Call, clocks: Clocks) -> None:
        self.calls, self.anchor, self.clocks = calls, anchor, clocks
        self.times = {name: _Times() for name in calls}
        self.anchors: list[_Times] = []
        self.rounds = dict.fromkeys(calls, 0)

    def run(self, seconds: float, least: int, once: Mapping[str, float]) -> None:
        """Rounds until every call had its `seconds` and was made `least` times."""
        turns = {name: max(1, int(seconds / ROUNDS / max(once[name], 1e-9))) for name in self.calls}
        names = list(self.calls)
        while names:
            self._time_anchor()
            for name in names:
                for _ in range(turns[name]):
                    self.times[name].add(self.calls[name], self.clocks.wall, self.clocks.process)
                self.rounds[name] += 1
            names = [name for name in reversed(names) if not self._is_done(self.times[name].wall, seconds, least)]
        self._time_anchor()

    @staticmethod
    def _is_done(wall: list[float], seconds: float, least: int) -> bool:
        return len(wall) >= least and math.fsum(wall) >= seconds

    def _time_anchor(self) -> None:
        times = _Times()
        for _ in range(ANCHORS):
            times.add(self.anchor, self.clocks.wall, self.clocks.thread)
        self.anchors.append(times)

    def timing(self, name: str, threads: int) -> Timing:
        """Of the call of this name, with the anchor as it was around its rounds."""
        own, around = self.times[name], _Times()
        for times in self.anchors[: self.rounds[name] + 1]:
            around.wall += times.wall
            around.cpu += times.cpu
        tenths = quantiles(own.wall, n=10, method="inclusive")
        return Timing(
            1e3 * median(own.wall), 1e3 * tenths[0], 1e3 * tenths[-1], 1e3 * fmean(own.wall), len(own.wall),
            1e3 * median(around.wall), (own if threads == 1 else around).wall_over_cpu(),
        )  # fmt: skip


def _warmed_up(call: Call, seconds: float, clocks: Clocks) -> float:
    """Make a call a few times, once only if that takes `seconds`; how long the fastest took."""
    fastest = math.inf
    started = clocks.wall()
    for _ in range(WARM_UPS):
        before = clocks.wall()
        call()
        now = clocks.wall()
        fastest = min(fastest, now - before)
        if now - started >= seconds:
            break
    return fastest


@contextmanager
def _without_collection() -> Iterator[None]:
    """The garbage collector does not run inside."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _anchor() -> Call:
    from convscale.deploy.anchor import anchor_run  # which brings PyTorch

    return anchor_run()
