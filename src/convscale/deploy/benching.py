"""bench_networks: how long networks take in engines on this machine, timed side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, product
from pathlib import Path

import numpy as np

from convscale.catalog import CATALOG
from convscale.deploy.end_to_end import picture_file, whole_way
from convscale.deploy.engines import Dtype, Engine, installed_engines, open_engine
from convscale.deploy.engines.kinds import engine_kind, require_threads
from convscale.deploy.engines.protocol import Floats
from convscale.deploy.environment import environment_here
from convscale.deploy.peak_memory import measuring
from convscale.deploy.subjects import Source, Subject, open_subject
from convscale.deploy.timing import LEAST, Call, Timing, interleaved
from convscale.errors import ConfigError, ConvscaleError
from convscale.networks import ConvNet
from convscale.nn import Model
from convscale.preprocessing import default_preprocessing
from convscale.progress import Progress
from convscale.records import Bench, BenchRow, NotBenched
from convscale.records.quoted import TABLE4
from convscale.units import format_number, format_seconds

ALL = "all"  # the engines that are installed
TABLE4_RUNS = 20


@dataclass(frozen=True, slots=True)
class _Opened:
    """A subject in an engine."""

    subject: Subject
    engine: Engine


def bench_networks(
    networks: Source | Sequence[Source],
    *,
    engines: Sequence[str] = ("eager",),
    dtypes: Sequence[Dtype] = ("float32",),
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
    weights file or a run folder, which keeps its rows as bench.json. engines: names of engines, or "all" for the
    installed ones. seconds: that each is timed for, `least` batches at least. end_to_end: from the bytes of images to
    predictions, not of the network alone. memory: also start a process for each row that says what it takes.

    Raises UnknownNameError, MissingExtraError and ConfigError for engines, UnknownNameError, RunError and ConfigError
    for networks, ConfigError for numbers that are not allowed, and what an engine raises where nothing is left to time.
    """
    _require(batch, threads, seconds, least)
    names = _engine_names(engines)
    listed = [networks] if isinstance(networks, ConvNet | Model | str | Path) else list(networks)
    if not listed:
        raise ConfigError("no network to bench", hint="a name, a file or a run")
    subjects = list({subject.name: subject for subject in (open_subject(source, batch) for source in listed)}.values())
    steps = len(subjects) * len(names) * len(dtypes)
    progress = Progress(steps * (3 if memory else 2), quiet=quiet)
    opened, not_benched = _open(subjects, names, dtypes, threads, progress)
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
    """The engines that run here. Raises for one that was named and does not."""
    names = list(dict.fromkeys(name for one in asked for name in (installed_engines() if one == ALL else (one,))))
    for name in names:
        engine_kind(name, also=(ALL,))
    if not names:
        raise ConfigError("no engine to bench in", hint=f"engines here: {', '.join(installed_engines())}")
    return names


def _open(
    subjects: Sequence[Subject], names: Sequence[str], dtypes: Sequence[Dtype], threads: int, progress: Progress
) -> tuple[list[_Opened], list[NotBenched]]:
    """Every subject in every engine that runs it. Raises the first error where none runs any."""
    opened, not_benched, errors = [], [], []
    for subject, name, dtype in product(subjects, names, dtypes):
        progress.step(f"opening {subject.name} in {name}")
        try:
            engine = open_engine(name, subject.model, threads=threads, dtype=dtype)
            engine(subject.images)
        except (ConvscaleError, RuntimeError, ValueError, TypeError) as error:
            errors.append(error)
            why = error.message if isinstance(error, ConvscaleError) else f"{type(error).__name__}: {error}"
            not_benched.append(NotBenched(network=subject.name, engine=name, dtype=dtype, why=_first_line(why)))
        else:
            opened.append(_Opened(subject, engine))
    if not opened:
        raise errors[0]
    return opened, not_benched


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:200]


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
    network = one.subject.model.network
    preprocessing = one.subject.model.preprocessing or default_preprocessing(network.resolution, network.input_channels)
    return whole_way(one.engine, preprocessing, [picture_file(network.input_channels)] * len(one.subject.images))


def _rows(opened: Sequence[_Opened], timings: Sequence[Timing], memory: bool, progress: Progress) -> Iterator[BenchRow]:
    """What was found, with what takes no part in the timing: differences and memory."""
    for subject, group in groupby(zip(opened, timings, strict=True), key=lambda pair: pair[0].subject):
        expected = open_engine("eager", subject.model)(subject.images)
        with measuring(subject) as measure:
            for one, timing in group:
                engine = one.engine
                peak = measure.peak(engine) if memory else None
                progress.step(f"memory of {subject.name} in {engine.name}", int(memory))
                yield BenchRow(
                    network=subject.name, engine=engine.name, dtype=engine.dtype, threads=engine.threads,
                    batch=len(subject.images), peak_memory_bytes=peak,
                    max_relative_difference=_difference(engine(subject.images), expected), busy=timing.busy,
                    **asdict(timing),
                )  # fmt: skip


def _difference(found: Floats, expected: Floats) -> float | None:
    """The largest, over the largest logit; None where that is zero or not finite."""
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
