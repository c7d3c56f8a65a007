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
    resolution_options,
    scaling_as_dict,
    write_output,
)
from convscale.planning import Budget, Plan, Proposal, format_limit, plan
from convscale.planning.budget import LATENCY
from convscale.schema import to_table


@click.command()
@click.argument("network")
@budget_options
@law_options
@resolution_options
@click.option(
    "--coefficients", metavar="DIR|FILE|A,B,G", help="alpha, beta and gamma: of a search, of a file, or as they are.",
)  # fmt: skip
@classes_option
@output_option
@json_option
def command(
    network: str, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    resolution: int | None, max_resolution: int | None, resolution_step: int, coefficients: str | None,
    classes: int | None, output: Path | None, as_json: bool, **limits: str | None,
) -> None:  # fmt: skip
    """Scale NETWORK (a name or a file) so that it spends a budget, never exceeds it, and keeps to a law."""
    budget = Budget(**limits)
    law, evidence = pick_law_with_evidence(law_name, alpha, beta, gamma, coefficients)
    planned = plan(
        load_network(network, classes), budget, law, resolution=resolution, max_resolution=max_resolution,
        resolution_step=resolution_step,
    )  # fmt: skip
    write_output(planned.network, output)
    if as_json:
        print_json(_as_dict(planned, evidence))
    else:
        _print(planned, evidence)


# Limits as the column of shares names them.
_SHORT = {
    "macs": "MACs",
    "activations": "activations",
    "file_bytes": "file",
    "inference_memory_bytes": "memory",
    "training_memory_bytes_fixed": "fixed",
    "training_memory_bytes_per_image": "an image",
    LATENCY: "latency",
}


def _proposal_as_dict(planned: Plan, proposal: Proposal) -> dict[str, Any]:
    return {
        "phi": proposal.phi,
        "scaling": scaling_as_dict(proposal.scaling),
        "blocks": [planned.baseline.num_blocks, proposal.network.num_blocks],
        "network": to_table(proposal.network),
        "cost": proposal.cost.as_dict(),
        "used": proposal.used,
        "off_law": proposal.off_law,
    }


def _as_dict(planned: Plan, evidence: str) -> dict[str, Any]:
    return {
        "law": planned.law.name,
        "evidence": evidence,
        **_proposal_as_dict(planned, planned.chosen),
        "binding": list(planned.binding),
        "naive": _proposal_as_dict(planned, planned.naive) if planned.naive else {},
        "alternatives": [_proposal_as_dict(planned, proposal) for proposal in planned.alternatives],
    }


def _print(planned: Plan, evidence: str) -> None:
    from rich.table import Table

    limits = planned.budget.limits()
    table = Table("", box=None)
    for heading in ("phi", "off law", "blocks", "channels", "pixels", "params", "MACs", "used"):
        table.add_column(heading, justify="right")
    rows = [("plan", planned.chosen)]
    rows += [("naive", planned.naive)] if planned.naive else []
    rows += [("or", proposal) for proposal in planned.alternatives]
    for label, row in rows:
        table.add_row(
            label, f"{row.phi:.2f}", "" if row is planned.naive else f"{row.off_law:.1%}", *_built(planned, row),
            *(format_limit(key, getattr(row.cost, key)) for key in ("params", "macs")),
            "\n".join(f"{share:.1%}{'!' * (share > 1)} {_SHORT.get(key, key)}" for key, share in row.used.items()),
        )  # fmt: skip
    print(f"{planned.network.name}: {planned.law.name} law, "
          + ", ".join(f"{key} at most {format_limit(key, value)}" for key, value in limits.items()))  # fmt: skip
    print_table(table)
    word = "binding" if planned.spent else "closest"
    print(f"{word}: {', '.join(planned.binding)}; a share marked ! is over its limit")
    print(evidence)


def _built(planned: Plan, row: Proposal) -> tuple[str, str, str]:
    """What was built of the baseline's blocks, channels and pixels."""

    def change(before: int, after: int) -> str:
        return str(after) if before == after else f"{before} -> {after}"

    base, network = planned.baseline, row.network
    return (
        change(base.num_blocks, network.num_blocks),
        f"x{row.scaling.width:.3f}",
        change(base.resolution, network.resolution),
    )
