"""profile: time random networks on this machine, fit the numbers that predict others, keep both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from convscale.deploy.engines import Dtype
from convscale.deploy.engines.kinds import engine_kind, require_dtype, require_threads
from convscale.deploy.environment import environment_here
from convscale.deploy.profiling.drawing import drawn_networks
from convscale.deploy.profiling.fitting import LEAST_NETWORKS, fit_errors, fit_model, sample
from convscale.deploy.profiling.lines import Lines, TimedLine, Wanted
from convscale.deploy.profiling.measuring import opened, time_network, time_steps
from convscale.errors import ConfigError, ConvscaleError
from convscale.networks import ConvNet
from convscale.progress import Progress, print_note
from convscale.records import Profile, ProfiledNetwork, write_record
from convscale.units import format_number

TRIES = 3  # of what was disturbed
LEAST_QUIET = 0.8  # of the networks that a profile needs


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSettings:
    """What `make_profile` times. Raises ConfigError for what cannot be."""

    engine: str = "packed"
    dtype: Dtype = "float32"
    threads: int = 1
    networks: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        kind = engine_kind(self.engine)
        require_threads(self.threads)
        require_dtype(kind, self.dtype)
        if self.networks < LEAST_NETWORKS:
            raise ConfigError(
                f"{self.networks} networks are too few to predict others from", hint=f"{LEAST_NETWORKS} or more"
            )


def make_profile(settings: ProfileSettings, output: Path, *, quiet: bool = False) -> Profile:
    """Time the networks, fit, and write the profile to `output`, with a line for each network beside it until it is
    done, from which the next call goes on.

    What was timed while the machine did something else is timed again, and left out where that does not help. Raises
    ConvscaleError where that is more than a fifth, and ConfigError where `output` has an unfinished profile of
    something else; and what opening the engine raises.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(settings.engine, settings.dtype, settings.threads, settings.seed, environment_here())
    lines = Lines(output.with_name(f"{output.name}.lines"), wanted)
    networks = list(drawn_networks(settings.networks, settings.seed))
    if lines.found and not quiet:
        print_note(f"{lines.path} goes on: {len(lines.quiet)} of {format_number(len(networks), 'network')} are timed")
    _time_all(networks, settings, lines, quiet=quiet)
    kept = [line for turn, line in lines.quiet.items() if turn < len(networks)]
    if len(kept) < max(LEAST_QUIET * len(networks), LEAST_NETWORKS):
        raise ConvscaleError(
            f"this machine was busy: of {len(networks)} networks {len(networks) - len(kept)} could not be timed alone",
            hint=f"stop what else is running and repeat the command: it keeps what it has, in {lines.path}",
        )
    if len(kept) < len(networks) and not quiet:
        print_note(f"{len(networks) - len(kept)} networks are left out: this machine was busy while they were timed")
    profile = fitted_profile(wanted, [line.timed for line in kept], sum(line.took for line in lines.found.values()))
    write_record(output, profile)
    lines.path.unlink()
    return profile


def fitted_profile(wanted: Wanted, timed: Sequence[ProfiledNetwork], seconds: float) -> Profile:
    """The profile of networks that were timed, in `seconds` altogether."""
    samples = [sample(one) for one in timed]
    anchors = [one.anchor_seconds for one in timed]
    ends = quantiles(anchors, n=20, method="inclusive")
    return Profile(
        engine=wanted.engine,
        dtype=wanted.dtype,
        threads=wanted.threads,
        batch=1,
        seed=wanted.seed,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=wanted.environment,
        networks=tuple(timed),
        seconds=seconds,
        anchor_seconds=median(anchors),
        anchor_spread=(ends[-1] - ends[0]) / 2 / median(anchors),
        fit=fit_errors(samples),
        model=fit_model(samples),
    )


def _time_all(networks: Sequence[ConvNet], settings: ProfileSettings, lines: Lines, *, quiet: bool) -> None:
    """Time what is not timed yet, then once more what was disturbed."""
    missing = [turn for turn in range(len(networks)) if turn not in lines.found]
    progress = Progress(len(networks), done_steps=len(networks) - len(missing), quiet=quiet)
    for turn in missing:
        line = _time_one(turn, networks[turn], settings, tries=1)
        lines.add(line)
        progress.step(f"network {turn + 1}/{len(networks)}", pace="busy" if line.busy else "")
    disturbed = [turn for turn in range(len(networks)) if lines.found[turn].busy]
    again = Progress(len(disturbed), quiet=quiet)
    for turn in disturbed:
        lines.add(_time_one(turn, networks[turn], settings, tries=TRIES))
        again.step(f"again, since this machine was busy: {networks[turn].name}")


def _time_one(turn: int, network: ConvNet, settings: ProfileSettings, *, tries: int) -> TimedLine:
    started = time.monotonic()
    engine = opened(network, settings.engine, settings.threads, settings.dtype)
    timing = time_network(engine, network, tries=tries)
    steps = time_steps(engine, network)
    timed = ProfiledNetwork(network, timing.median_ms / 1e3, timing.anchor_ms / 1e3, steps)
    return TimedLine(turn, timing.busy, time.monotonic() - started, timed)
