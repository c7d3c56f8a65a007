"""Options that name the profile by which latency is predicted, and how it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from convscale.deploy.profiling.verifying import MakePlan, Verified
    from convscale.records import Profile

F = TypeVar("F", bound=Callable[..., Any])


def profile_options(command: F) -> F:
    """Add the options that name a profile."""
    options = (
        click.option("--profile", "profile_file", type=click.Path(path_type=Path), metavar="FILE",
                     help="What predicts --latency [default: the newest kept of this machine]."),
        click.option("--engine", metavar="NAME", help="The engine that the profile must be of [default: any]."),
        click.option("--threads", type=click.IntRange(1), metavar="N",
                     help="The threads that the profile must be of [default: those of --profile, else 1]."),
        click.option("--other-machine", is_flag=True, help="Plan for the machine of --profile, which is not this one."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def pick_profile(
    limits: dict[str, str | None], file: Path | None, engine: str | None, threads: int | None, other_machine: bool
) -> Profile | None:
    """The profile that a limit on latency needs; None where there is no such limit."""
    if limits["latency_seconds"] is None:
        if file is not None or engine is not None or threads is not None or other_machine:
            raise click.UsageError("--profile, --engine, --threads and --other-machine go with --latency")
        return None
    from convscale.deploy.profiling.kept import find_profile

    return find_profile(file, engine, threads, other_machine=other_machine)


def verified_plan(make_plan: MakePlan, profile: Profile) -> Verified:
    """The plan, with its network timed on this machine."""
    from convscale.deploy.profiling.verifying import measure_here, verify

    return verify(make_plan, profile, measure_here(profile))
