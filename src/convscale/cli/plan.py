"""convscale plan"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from convscale.planning import Budget, Plan, Proposal, format_limit, plan
from convscale.schema import to_table


@click.command()
@click.argument("network")
@budget_options
@law_options
@click.option(
    "--coefficients", metavar="DIR|FILE|A,B,G", help="alpha, beta and gamma: of a search, of a file, or as they are.",
)  # fmt: skip
@classes_option
@output_option
@json_option
def command(
    network: str, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    coefficients: str | None, classes: int | None, output: Path | None, as_json: bool, **limits: str | None,
) -> None:  # fmt: skip
    """Scale NETWORK (a name or a file) so that it spends a budget, never exceeds it, and keeps to a law."""
    budget = Budget(**limits)
    law, evidence = pick_law_with_evidence(law_name, alpha, beta, gamma, coefficients)
    planned = plan(load_network(network, classes), budget, law)
    write_output(planned.network, output)
    if as_json:
        print_json(_as_dict(planned, evidence))
    else:
        _print(planned, evidence)


def _proposal_as_dict(proposal: Proposal) -> dict[str, Any]:
    return {
        "phi": proposal.phi,
        "scaling": proposal.scaling.as_dict(),
        "network": to_table(proposal.network),
        "cost": proposal.cost.as_dict(),
        "used": proposal.used,
        "off_law": proposal.off_law,
    }


def _as_dict(planned: Plan, evidence: str) -> dict[str, Any]:
    return {
        "law": planned.law.name,
        "evidence": evidence,
        **_proposal_as_dict(planned.chosen),
        "binding": list(planned.binding),
        "naive": _proposal_as_dict(planned.naive) if planned.naive else {},
        "alternatives": [_proposal_as_dict(proposal) for proposal in planned.alternatives],
    }


def _print(planned: Plan, evidence: str) -> None:
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
    print(evidence)
