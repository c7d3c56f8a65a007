"""convscale plan"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from convscale.cli.shared import (
    budget_options,
    classes_option,
    json_option,
    law_options,
    load_network,
    output_option,
    pick_law_with_evidence,
    print_json,
    print_table,
    write_output,
)
from convscale.planning import Budget, Plan, format_limit, plan
from convscale.records import write_record


@click.command()
@click.argument("network")
@budget_options
@law_options
@click.option(
    "--coefficients", metavar="DIR|FILE|A,B,G", help="alpha, beta and gamma: of a search, of a file, or as they are.",
)  # fmt: skip
@classes_option
@output_option
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Write the whole plan as JSON.")
@json_option
def command(
    network: str, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    coefficients: str | None, classes: int | None, output: Path | None, record: Path | None, as_json: bool,
    **limits: str | None,
) -> None:  # fmt: skip
    """Scale NETWORK (a name or a file) so that it spends a budget, never exceeds it, and keeps to a law."""
    budget = Budget(**limits)
    law, evidence = pick_law_with_evidence(law_name, alpha, beta, gamma, coefficients)
    planned = replace(plan(load_network(network, classes), budget, law), evidence=evidence)
    write_output(planned.network, output)
    if record is not None:
        write_record(record, planned)
    if as_json:
        print_json(planned)
    else:
        _print(planned)


def _print(planned: Plan) -> None:
    from rich.table import Table

    limits = planned.budget.limits()
    table = Table("", box=None)
    for heading in ("phi", "off law", "depth", "width", "px", "params", "MACs", "activations", *limits):
        table.add_column(heading, justify="right")
    rows = [("plan", planned.chosen)]
    rows += [("naive", planned.naive)] if planned.naive else []
    rows += [("or", proposal) for proposal in planned.alternatives]
    for label, row in rows:
        table.add_row(
            label, f"{row.phi:.2f}", f"{row.off_law:.1%}", f"x{row.scaling.depth:.3f}",
            f"x{row.scaling.width:.3f}", str(row.network.resolution),
            *(format_limit(key, getattr(row.cost, key)) for key in ("params", "macs", "activations")),
            *(f"{share:.1%}" + ("!" if share > 1 else "") for share in row.used.values()),
        )  # fmt: skip
    print(f"{planned.network.name}: {planned.law.name} law, "
          + ", ".join(f"{key} at most {format_limit(key, value)}" for key, value in limits.items()))  # fmt: skip
    print_table(table)
    word = "binding" if planned.spent else "closest"
    print(f"{word}: {', '.join(planned.binding)}; a share marked ! is over its limit")
    print(planned.evidence)
