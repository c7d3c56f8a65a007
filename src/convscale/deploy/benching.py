"""bench_networks: how long networks take in engines on this machine, timed side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convscale.catalog import CATALOG
from convscale.deploy.compilation import AUTO, compile
from convscale.deploy.end_to_end import picture_file, whole_way
from convscale.deploy.engines import Dtype, Engine, installed_engines
from convscale.deploy.engines.failures import cannot_run
from convscale.deploy.engines.kinds import engine_kind, require_threads
from convscale.deploy.engines.protocol import Floats
from convscale.deploy.environment import environment_here
from convscale.deploy.peak_memory import measuring
from convscale.deploy.subjects import Source, Subject, open_subject
from convscale.deploy.timing import LEAST, Call, Timing, interleaved
from convscale.errors import ConfigError, ConvscaleError
from convscale.networks import ConvNet
from convscale.nn import Model
from convscale.progress import Progress
from convscale.records import Bench, BenchRow, NotBenched
from convscale.records.quoted import TABLE4
from convscale.units import format_number, format_seconds

ALL = "all"  # the engines that are installed
TABLE4_RUNS = 20


class _Way(NamedTuple):
    """A subject, an engine for it, and numbers; None for its own."""

    subject: Subject
    engine: str
    dtype: Dtype | None


class _Opened(NamedTuple):
    """A subject in an engine. chosen: whether "auto" took it."""

    subject: Subject
    engine: Engine
    chosen: bool


def bench_networks(
    networks: Source | Sequence[Source],
    *,
    engines: Sequence[str] = (),
    dtypes: Sequence[Dtype] = (),
    threads: int = 1,
    batch: int = 1,
    end_to_end: bool = False,
    seconds: float = 2.0,
    least: int = LEAST,
    memory: bool = True,
    quiet: bool = False,
) -> Bench:
    """The latency of `networks`, each in each of the `engines`, in the same interleaved rounds.

    networks: one or several of a model, a catalog name, a ConvNet or a TOML file (with weights made from seed 0), a
    weights file, an exported file, or a run folder, which keeps its rows as bench.json. engines: names of engines,
    "auto" for the one that `compile` takes, or "all" for the installed ones and auto; by default eager, and of exported
    files that of their format. dtypes: by default float32, and of exported files their own. seconds: that each is timed
    for, `least` batches at least. end_to_end: from the bytes of images to predictions, not of the network alone.
    memory: also start a process for each row that says what it takes.

    Raises UnknownNameError, MissingExtraError and ConfigError for engines, UnknownNameError, RunError and ConfigError
    for networks, ConfigError for numbers that are not allowed, and what an engine raises where nothing is left to time.
    """
    _require(batch, threads, seconds, least)
    names = _engine_names(engines)
    listed = [networks] if isinstance(networks, ConvNet | Model | str | Path) else list(networks)
    if not listed:
        raise ConfigError("no network to bench", hint="a name, a file or a run")
    subjects = list({subject.name: subject for subject in (open_subject(source, batch) for source in listed)}.values())
    ways = [way for subject in subjects for way in _ways(subject, names, ALL in engines, dtypes)]
    progress = Progress(len(ways) * (3 if memory else 2), quiet=quiet)
    opened, not_benched = _open(ways, threads, progress)
    timings = _time(opened, end_to_end, seconds, least, progress)
    rows = _rows(opened, timings, memory, progress)
    bench = Bench(
        rows=tuple(rows), quoted=(), not_benched=tuple(not_benched), measured="images" if end_to_end else "network",
        environment=environment_here(), when=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    for subject in subjects:
        _keep(bench, subject, progress)
    return bench


def bench_table4(*, engines: Sequence[str] = ("eager",), memory: bool = True, quiet: bool = False) -> Bench:
    """The networks of the paper's table 4 that the catalog has, batch 1 on one thread, 20 times each, with what the
    paper says as `quoted`. Raises as `bench_networks`."""
    known = [quoted.network for quoted in TABLE4 if quoted.network in CATALOG]
    found = bench_networks(known, engines=engines, seconds=1e-3, least=TABLE4_RUNS, memory=memory, quiet=quiet)
    return replace(found, quoted=TABLE4)


def _require(batch: int, threads: int, seconds: float, least: int) -> None:
    """Raise ConfigError for a number that is not allowed."""
    if type(batch) is not int or batch < 1:
        raise ConfigError(f"batch {batch!r} is not allowed", hint="a whole number of images from 1 up")
    require_threads(threads)
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"seconds {seconds!r} is not allowed", hint="how long each row is timed, such as 2")
    if least < 2:
        raise ConfigError(f"least {least!r} is not allowed", hint="at least 2 batches: percentiles need them")


def _engine_names(asked: Sequence[str]) -> list[str]:
    """The engines that were asked for. Raises for one that does not run here."""
    names: dict[str, None] = {}
    for one in asked:
        names |= dict.fromkeys((*installed_engines(), AUTO) if one == ALL else (one,))
    for name in names:
        if name != AUTO:
            engine_kind(name, also=(ALL, AUTO))
    return list(names)


def _ways(subject: Subject, names: Sequence[str], every: bool, dtypes: Sequence[Dtype]) -> list[_Way]:
    """The ways to run a subject that were asked for; `every`: its own engine alone, where only that runs it."""
    engines = [subject.own_engine] if not names or (every and subject.file is not None) else names
    return [_Way(subject, engine, dtype) for engine in engines for dtype in dtypes or (None,)]


def _open(ways: Sequence[_Way], threads: int, progress: Progress) -> tuple[list[_Opened], list[NotBenched]]:
    """All that can be opened and run a batch. Raises the first error where nothing does."""
    opened: list[_Opened] = []
    not_benched: list[NotBenched] = []
    errors: list[ConvscaleError] = []
    for way in ways:
        subject = way.subject
        progress.step(f"opening {subject.name} in {way.engine}")
        try:
            engine = subject.open(*_chosen(way, threads, progress))
            engine(subject.images)
        except Exception as error:  # runtimes raise their own kinds
            errors.append(cannot_run(way.engine, subject.name, error))
            dtype, why = way.dtype or "float32", errors[-1].message
            not_benched.append(NotBenched(network=subject.name, engine=way.engine, dtype=dtype, why=why))
        else:
            opened.append(_Opened(subject, engine, way.engine == AUTO))
    if not opened:
        raise errors[0]
    return opened, not_benched


def _chosen(way: _Way, threads: int, progress: Progress) -> tuple[str, int, Dtype | None]:
    """Engine, threads and numbers of a way: those that `compile` takes where it is "auto"."""
    subject = way.subject
    if way.engine != AUTO or subject.model is None:
        return subject.own_engine if way.engine == AUTO else way.engine, threads, way.dtype
    batch = len(subject.images)
    choice = compile(subject.model, threads=threads, dtype=way.dtype, batch=batch, quiet=progress.quiet).choice
    assert choice is not None
    if choice.reason:
        progress.note(f"auto took {choice.engine} for {subject.name}: {choice.reason}")
    return choice.engine, threads, choice.dtype


def _time(opened: Sequence[_Opened], end_to_end: bool, seconds: float, least: int, progress: Progress) -> list[Timing]:
    """The times of each, in their order."""
    count = format_number(len(opened), "row")
    progress.note(f"timing {count}: {format_seconds(len(opened) * seconds)} or more, and again what is disturbed")
    calls: dict[str, Call] = {str(place): _call(one, end_to_end) for place, one in enumerate(opened)}
    found = interleaved(calls, seconds=seconds, threads=opened[0].engine.threads, least=least)
    progress.step("timing", len(opened))
    return [found[name] for name in calls]


def _call(one: _Opened, end_to_end: bool) -> Call:
    if not end_to_end:
        return partial(one.engine, one.subject.images)
    subject = one.subject
    files = [picture_file(subject.network.input_channels)] * len(subject.images)
    return whole_way(one.engine, subject.preprocessing, files, pixels=subject.images.dtype == np.uint8)


def _rows(opened: Sequence[_Opened], timings: Sequence[Timing], memory: bool, progress: Progress) -> Iterator[BenchRow]:
    """What was found, with what takes no part in the timing: differences and memory."""
    for subject, group in groupby(zip(opened, timings, strict=True), key=lambda pair: pair[0].subject):
        expected = None if subject.model is None else subject.open("eager", 1, "float32")(subject.images)
        with measuring(subject) as measure:
            for one, timing in group:
                engine, chosen = one.engine, one.engine.name if one.chosen else None
                peak = measure.peak(engine) if memory else None
                progress.step(f"memory of {subject.name} in {engine.name}", int(memory))
                yield BenchRow(
                    network=subject.name, engine=AUTO if chosen else engine.name, chosen=chosen, dtype=engine.dtype,
                    threads=engine.threads, batch=len(subject.images), peak_memory_bytes=peak,
                    max_relative_difference=_difference(engine(subject.images), expected), busy=timing.busy,
                    **asdict(timing),
                )  # fmt: skip


def _difference(found: Floats, expected: Floats | None) -> float | None:
    """The largest, over the largest logit; None where there is nothing to compare with, or it is not finite."""
    if expected is None:
        return None
    difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
    return difference if np.isfinite(difference) else None


def _keep(bench: Bench, subject: Subject, progress: Progress) -> None:
    """A run keeps its own rows."""
    own = [row for row in bench.rows if row.network == subject.name]
    if subject.run is None or not own:
        return
    not_benched = tuple(one for one in bench.not_benched if one.network == subject.name)
    try:
        subject.run.write_bench(replace(bench, rows=tuple(own), not_benched=not_benched))
    except OSError as error:
        progress.note(f"{subject.run.path}: its bench.json cannot be written: {error.strerror}")
