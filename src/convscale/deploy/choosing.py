"""choose_engine: all engines that could run a network, compared and timed, to the one to take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from convscale import machine
from convscale.deploy.acceptance import Reference, Verdict, judged
from convscale.deploy.engines.exported import FILE_ENGINES, open_file
from convscale.deploy.engines.failures import cannot_run
from convscale.deploy.engines.kinds import ENGINES, open_engine
from convscale.deploy.engines.protocol import Dtype, Engine
from convscale.deploy.environment import environment_here
from convscale.deploy.ties import fastest
from convscale.deploy.timing import Timing, interleaved
from convscale.errors import ConfigError
from convscale.nn import Model
from convscale.progress import Progress
from convscale.records import EngineChoice, EngineTrial

PLAIN = "eager"  # what all others are compared with, and what is left where nothing can be told
SECONDS = 2.0  # that each engine is timed
TRIES = 5  # until an engine is not measured busy
_SAFER_FIRST: tuple[Dtype, ...] = ("float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may be chosen, and how it is opened."""

    engine: str
    dtype: Dtype
    file: str
    open: Callable[[], Engine]

    @property
    def title(self) -> str:
        """What messages call it."""
        return " ".join(part for part in (self.engine, self.dtype, self.file) if part)


def candidates_for(
    model: Model, threads: int, dtypes: Sequence[Dtype], files: Sequence[Path] = ()
) -> tuple[Candidate, ...]:
    """What could run a model on this machine in one of `dtypes`, and the exported files: the safer numbers first, and
    among these the simpler engine."""
    found = [
        Candidate(kind.name, dtype, "", partial(open_engine, kind.name, model, threads=threads, dtype=dtype))
        for kind in ENGINES.values()
        for dtype in kind.dtypes
        if kind.is_installed() and dtype in dtypes and _computes(kind.name, dtype)
    ]
    for file in files:
        opened = open_file(file, threads=threads)
        if opened.takes_pixels:
            raise ConfigError(f"{file}: it holds its preprocessing", hint="export it with preprocessing outside")
        open_again = partial(open_file, file, threads=threads)
        found.append(Candidate(FILE_ENGINES[file.suffix], opened.dtype, str(file), open_again))
    return tuple(sorted(found, key=lambda one: _SAFER_FIRST.index(one.dtype)))


def choose_engine(
    candidates: Sequence[Candidate],
    reference: Reference,
    *,
    network: str,
    threads: int,
    batch: int,
    key: str = "",
    seconds: float = SECONDS,
    quiet: bool = False,
) -> tuple[EngineChoice, Engine]:
    """The simplest of the fastest candidates among those that compute what the plain module does, and what was found
    about all of them.

    What fails, computes something else or is measured busy time after time is not chosen. Where nothing can be told,
    it is the plain module. Raises ConfigError where no candidate runs.
    """
    progress = Progress(len(candidates) + 1, quiet=quiet)
    engines: dict[Candidate, Engine] = {}
    trials: dict[Candidate, EngineTrial] = {}
    for candidate in candidates:
        progress.step(f"opening {candidate.title}")
        engine, trials[candidate] = _tried(candidate, reference, batch, network)
        if engine is not None:
            engines[candidate] = engine
    if not engines:
        raise ConfigError(f"no engine runs {network}: {_reasons(trials)}", hint="convscale doctor shows what is here")
    inputs = reference.inputs(batch)
    progress.note(f"timing {', '.join(one.title for one in engines)}: about {len(engines) * seconds:.0f} s")
    names = {candidate.title: candidate for candidate in engines}
    timed = interleaved(
        {title: partial(engines[candidate], inputs) for title, candidate in names.items()},
        seconds=seconds, threads=threads, tries=TRIES,
    )  # fmt: skip
    timings = {candidate: timed[title] for title, candidate in names.items()}
    first, *ties = fastest(timings) or (_fallback(engines),)
    reason = "" if not timings[first].busy else "the machine was busy all the time: nothing could be compared"
    progress.step(f"chosen: {first.title}")
    choice = EngineChoice(
        network=network, engine=first.engine, dtype=first.dtype, file=first.file, threads=threads, batch=batch,
        ties=tuple(trials[one].title for one in ties), reason=reason, trials=tuple(_with_times(trials, timings)),
        images=len(reference.pixels) if reference.own else 0, labelled=reference.labels is not None,
        environment=environment_here(), when=datetime.now(UTC).isoformat(timespec="seconds"), key=key,
    )  # fmt: skip
    return choice, engines[first]


def _computes(engine: str, dtype: Dtype) -> bool:
    return dtype != "bfloat16" or engine == "cuda" or machine.has_fast_bf16()


def _tried(candidate: Candidate, reference: Reference, batch: int, network: str) -> tuple[Engine | None, EngineTrial]:
    """An engine that may be chosen, None for one that may not, and what is known of it so far."""
    try:
        engine = candidate.open()
        verdict = judged(engine, reference, batch)
    except Exception as error:  # runtimes raise their own kinds
        said = cannot_run(candidate.engine, network, error).message
        return None, _trial(candidate, Verdict(float("inf"), None, None, None, said))
    return (None if verdict.refused else engine), _trial(candidate, verdict)


def _trial(candidate: Candidate, verdict: Verdict) -> EngineTrial:
    known = verdict.max_relative_difference < float("inf")
    return EngineTrial(
        engine=candidate.engine, dtype=candidate.dtype, file=candidate.file,
        median_ms=None, p10_ms=None, p90_ms=None, n=0, busy=False,
        max_relative_difference=verdict.max_relative_difference if known else None,
        agreement=verdict.agreement, lost=verdict.lost, won=verdict.won, refused=verdict.refused,
    )  # fmt: skip


def _with_times(trials: Mapping[Candidate, EngineTrial], timings: Mapping[Candidate, Timing]) -> Iterator[EngineTrial]:
    for candidate, trial in trials.items():
        timing = timings.get(candidate)
        yield trial if timing is None else replace(
            trial, median_ms=timing.median_ms, p10_ms=timing.p10_ms, p90_ms=timing.p90_ms, n=timing.n,
            busy=timing.busy,
        )  # fmt: skip


def _fallback(engines: Mapping[Candidate, Engine]) -> Candidate:
    """The plain module where it is among them, else the simplest."""
    return next((one for one in engines if one.engine == PLAIN and one.dtype == "float32"), next(iter(engines)))


def _reasons(trials: Mapping[Candidate, EngineTrial]) -> str:
    return "; ".join(trial.refused for trial in trials.values()) or "none is installed"
