"""convscale plan"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.latency import pick_profile, profile_options, verified_plan
from convscale.cli.laws import law_options, pick_law_with_evidence
from convscale.cli.options import (
    budget_options,
    classes_option,
    json_option,
    load_network,
    output_option,
    resolution_options,
)
from convscale.cli.output import (
    print_json,
    print_table,
    print_text,
    write_output,
)
from convscale.planning import Budget, Plan, format_limit, plan
from convscale.records import write_record
from convscale.report.networks import plan_table
from convscale.report.plans import latency_lines

if TYPE_CHECKING:
    from convscale.costs import LatencyPredictor
    from convscale.deploy.profiling.verifying import Verified
    from convscale.records import Profile


@click.command()
@click.argument("network")
@budget_options
@law_options
@resolution_options
@click.option(
    "--coefficients", metavar="DIR|FILE|A,B,G",
    help="alpha, beta and gamma: a search's folder, a file, or three numbers.",
)  # fmt: skip
@classes_option
@output_option
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Write the whole plan as JSON.")
@profile_options
@click.option("--verify", is_flag=True, help="Time the answer on this machine, and correct the plan once.")
@json_option
def command(
    network: str, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    resolution: int | None, max_resolution: int | None, resolution_step: int, coefficients: str | None,
    classes: int | None, output: Path | None, record: Path | None, profile_file: Path | None, engine: str | None,
    threads: int | None, other_machine: bool, verify: bool, as_json: bool, **limits: str | None,
) -> None:  # fmt: skip
    """Scale NETWORK so that it spends a budget, never exceeds it, and keeps to a law.

    NETWORK is a name, a TOML file, a run or a weights file. `convscale profile` makes what --latency needs.
    """
    budget = Budget(**limits)
    profile = pick_profile(limits, profile_file, engine, threads, other_machine)
    if verify and (profile is None or other_machine):
        raise click.UsageError("--verify goes with --latency, and measures on this machine alone")
    law, evidence = pick_law_with_evidence(law_name, alpha, beta, gamma, coefficients)
    baseline = load_network(network, classes)

    def make_plan(predictor: LatencyPredictor | None) -> Plan:
        planned = plan(
            baseline, budget, law, predictor=predictor, resolution=resolution, max_resolution=max_resolution,
            resolution_step=resolution_step,
        )  # fmt: skip
        return replace(planned, evidence=evidence)

    verified = verified_plan(make_plan, profile) if profile and verify else None
    planned = verified.plan if verified else make_plan(profile.predictor() if profile else None)
    write_output(planned.network, output)
    if record is not None:
        write_record(record, planned)
    if as_json:
        print_json(planned, **({} if verified is None else verified.figures))
    else:
        _print(planned, profile, verified)


def _print(planned: Plan, profile: Profile | None, verified: Verified | None) -> None:
    limits = ", ".join(f"{key} at most {format_limit(key, value)}" for key, value in planned.limits.items())
    print_text(f"{planned.network.name}: {planned.law.name} law, {limits}")
    print_table(plan_table(planned))
    word = "binding" if planned.spent else "closest to its limit"
    print_text(f"{word}: {', '.join(planned.binding)}; a share marked ! is over its limit", planned.evidence)
    if profile is not None:
        print_text(*latency_lines(planned, profile))
    if verified is not None:
        print_text(*verified.lines())
