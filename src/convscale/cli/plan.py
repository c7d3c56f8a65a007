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
    pick_law,
    print_json,
    print_table,
    scaling_as_dict,
    write_output,
)
from convscale.planning import Budget, Plan, Proposal, format_limit, plan
from convscale.scaling import ScalingLaw, compound_law, read_coefficients
from convscale.schema import to_table


@click.command()
@click.argument("network")
@budget_options
@law_options
@click.option(
    "--coefficients", type=click.Path(path_type=Path), metavar="FILE",
    help="alpha, beta and gamma from a TOML or JSON file.",
)  # fmt: skip
@classes_option
@output_option
@json_option
def command(
    network: str, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    coefficients: Path | None, classes: int | None, output: Path | None, as_json: bool, **limits: str | None,
) -> None:  # fmt: skip
    """Scale NETWORK (a name or a file) so that it spends a budget, never exceeds it, and keeps to a law."""
    budget = Budget(**limits)
    law = _law(law_name, alpha, beta, gamma, coefficients)
    planned = plan(load_network(network, classes), budget, law)
    write_output(planned.network, output)
    if as_json:
        print_json(_as_dict(planned))
    else:
        _print(planned, coefficients)


def _law(
    name: str | None, alpha: float | None, beta: float | None, gamma: float | None, coefficients: Path | None
) -> ScalingLaw:
    if coefficients is None:
        return pick_law(name, alpha, beta, gamma)
    if (name, alpha, beta, gamma) != (None, None, None, None):
        raise click.UsageError("--coefficients already says the law; leave --law, --alpha, --beta, --gamma out")
    return read_coefficients(coefficients)


def _proposal_as_dict(proposal: Proposal) -> dict[str, Any]:
    return {
        "phi": proposal.phi,
        "scaling": scaling_as_dict(proposal.scaling),
        "network": to_table(proposal.network),
        "cost": proposal.cost.as_dict(),
        "used": proposal.used,
        "off_law": proposal.off_law,
    }


def _as_dict(planned: Plan) -> dict[str, Any]:
    return {
        "law": planned.law.name,
        **_proposal_as_dict(planned.chosen),
        "binding": list(planned.binding),
        "naive": _proposal_as_dict(planned.naive) if planned.naive else {},
        "alternatives": [_proposal_as_dict(proposal) for proposal in planned.alternatives],
    }


def _print(planned: Plan, coefficients: Path | None) -> None:
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
    print(_evidence(planned.law, coefficients))


def _evidence(law: ScalingLaw, coefficients: Path | None) -> str:
    if coefficients is not None:
        return f"alpha, beta, gamma are those of {coefficients}"
    if law == compound_law():
        return "alpha 1.2, beta 1.1, gamma 1.15 are the paper's, found for EfficientNet-B0 on ImageNet"
    return f"depth {law.depth:.4g}, width {law.width:.4g}, resolution {law.resolution:.4g} at phi 1, as asked"
