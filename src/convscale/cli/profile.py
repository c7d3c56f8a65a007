"""convscale profile"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_text, require_writable
from convscale.units import format_seconds


@click.command()
@click.option("--engine", default="packed", show_default=True, metavar="NAME", help="What runs the networks.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Threads that it computes on."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True,
    help="Numbers that it computes in.",
)  # fmt: skip
@click.option(
    "--networks", type=click.IntRange(8), default=60, show_default=True, metavar="N", help="Random networks to time."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Which networks those are."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
    help="The profile [default: kept in the user's cache, where --latency finds it].",
)  # fmt: skip
@json_option
def command(
    engine: str, threads: int, dtype: str, networks: int, seed: int, output: Path | None, as_json: bool
) -> None:
    """Time random networks on this machine, so that latency can be predicted and planned.

    About two minutes. A profile that is interrupted goes on where it was when the command is repeated.
    """
    if output is not None:
        require_writable(output)
    from convscale.deploy.profiling.kept import kept_path
    from convscale.deploy.profiling.making import ProfileSettings, make_profile

    settings = ProfileSettings(engine=engine, threads=threads, dtype=dtype, networks=networks, seed=seed)  # type: ignore[arg-type]
    path = output or kept_path(engine, dtype, threads)
    profile = make_profile(settings, path)
    if as_json:
        print_json(profile, path=str(path))
        return
    fit = profile.fit
    print_text(
        f"{profile.setting}: {profile.count} networks timed in {format_seconds(profile.seconds)}; {path}",
        f"predictions of other networks are off by {fit.median_error:.1%} (median), nine in ten by at most "
        f"{fit.p90_error:.1%}",
    )
