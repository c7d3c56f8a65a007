"""convscale plan"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

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
@json_option
def command(
    network: str, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    resolution: int | None, max_resolution: int | None, resolution_step: int, coefficients: str | None,
    classes: int | None, output: Path | None, record: Path | None, as_json: bool, **limits: str | None,
) -> None:  # fmt: skip
    """Scale NETWORK so that it spends a budget, never exceeds it, and keeps to a law.

    NETWORK is a name, a TOML file, a run or a weights file.
    """
    budget = Budget(**limits)
    law, evidence = pick_law_with_evidence(law_name, alpha, beta, gamma, coefficients)
    planned = plan(
        load_network(network, classes), budget, law, resolution=resolution, max_resolution=max_resolution,
        resolution_step=resolution_step,
    )  # fmt: skip
    planned = replace(planned, evidence=evidence)
    write_output(planned.network, output)
    if record is not None:
        write_record(record, planned)
    if as_json:
        print_json(planned)
    else:
        _print(planned)


def _print(planned: Plan) -> None:
    limits = ", ".join(f"{key} at most {format_limit(key, value)}" for key, value in planned.limits.items())
    print_text(f"{planned.network.name}: {planned.law.name} law, {limits}")
    print_table(plan_table(planned))
    word = "binding" if planned.spent else "closest to its limit"
    print_text(f"{word}: {', '.join(planned.binding)}; a share marked ! is over its limit", planned.evidence)
