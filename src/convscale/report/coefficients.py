"""The report of a search for alpha, beta and gamma, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.records import CoefficientSearch, SearchedCandidate
from convscale.report.tables import Column, Table, interval, markdown, text_column
from convscale.scaling import Scaling
from convscale.units import format_seconds

DIMENSIONS = ("alpha (depth)", "beta (width)", "gamma (resolution)")
SHARES = "Shares of the extra cost, by the network's own MACs; = cannot be told from the best"


def report(found: CoefficientSearch, evidence: str, command: str) -> list[str]:
    """The result, a line each; `evidence` is the sentence that it begins with, `command` gives it again."""
    lines = [f"# alpha, beta, gamma of {found.baseline}", "", f"{evidence[0].upper()}{evidence[1:]}.", ""]
    lines += ["```", command, "```", ""]
    lines += markdown(coefficient_table(found))
    lines += [
        "",
        "The intervals hold every finalist that cannot be told from the best; what halving left out takes no part.",
    ]
    lines += ["", "## Candidates", "", f"{SHARES}.", "", *markdown(candidate_table(found.candidates, found))]
    lines += ["", "![shares](pictures/ternary.png)", "", "## What the training lengths say", "", *_lengths(found)]
    if found.unreachable:
        lines += ["", "## Directions that cannot be had", ""]
        lines += [f"- {' / '.join(f'{share:.2f}' for share in shares)}: {why}" for shares, why in found.unreachable]
    lines += ["", "## Cost", "", f"{found.trainings} trainings, {found.device_seconds:,.0f} device-seconds "
              f"({format_seconds(found.device_seconds)}): {found.share_of_full_grid:.0%} of the training that every "
              "candidate at the last length from every seed would take."]  # fmt: skip
    return lines


def coefficient_table(found: CoefficientSearch) -> Table:
    """alpha, beta and gamma."""
    columns = (
        text_column(""), Column("for a doubling of cost", "{:.3f}".format),
        Column("95 % interval", lambda ends: f"{ends[0]:.3f} to {ends[1]:.3f}"),
    )  # fmt: skip
    return Table(columns, list(zip(DIMENSIONS, found.coefficients, found.interval95, strict=True)))


def candidate_table(candidates: Sequence[SearchedCandidate], found: CoefficientSearch) -> Table:
    """`candidates` of a search, the longest trained and best first."""
    equal = {id(one) for one in found.equivalent}
    share = "{:.2f}".format
    columns = (
        text_column(""), Column("depth", share), Column("width", share), Column("reso\u00adlution", share),
        Column("scaled by", _factors, detail=1), Column("px"), Column("MACs", "{:,}".format),
        Column("steps", "{:,}".format, detail=1), Column("top-1", "{:.4f}".format), Column("95 %", interval),
        Column("seeds"), text_column("", wrap=True, detail=1),
    )  # fmt: skip
    rows = [
        (
            "=" if id(one) in equal else None, *one.candidate.actual, one.candidate.scaling,
            one.candidate.network.resolution, one.candidate.macs, one.steps, one.accuracy, one.interval95, one.seeds,
            f"{one.state}: {one.failure}" if one.failure else one.state,
        )
        for one in sorted(candidates, key=lambda one: (-one.steps, -(one.accuracy or 0)))
    ]  # fmt: skip
    return Table(columns, rows)


def _factors(scaling: Scaling) -> str:
    return f"{scaling.depth:.2f} {scaling.width:.2f} {scaling.resolution:.2f}"


def _lengths(found: CoefficientSearch) -> list[str]:
    order, last = found.order, found.lengths[-1]
    lines = [
        f"- rank correlation of a few candidates after {steps:,} and {last:,} steps: "
        + ("undefined" if value is None else f"{value:.2f}")
        for steps, value in found.trusted.items()
    ]
    lines.append(f"- halving began at {found.first_length:,} steps")
    lines.append(
        f"- between {found.lengths[-2]:,} and {last:,} steps, {order.swapped} of {order.pairs} pairs of "
        f"{order.candidates} candidates change their order, {order.certain_swaps} of them beyond the noise of seeds; "
        "the best " + ("changes" if order.best_changes else "stays")
    )
    return lines
