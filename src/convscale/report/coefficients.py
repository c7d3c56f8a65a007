"""The report of a search for alpha, beta and gamma, as Markdown."""

from __future__ import annotations

from convscale.records import CoefficientSearch, SearchedCandidate
from convscale.units import format_seconds

DIMENSIONS = ("alpha (depth)", "beta (width)", "gamma (resolution)")


def report(found: CoefficientSearch, evidence: str, command: str) -> list[str]:
    """The result, a line each; `evidence` is the sentence that it begins with, `command` gives it again."""
    lines = [f"# alpha, beta, gamma of {found.baseline}", "", f"{evidence[0].upper()}{evidence[1:]}.", ""]
    lines += ["```", command, "```", ""]
    lines += ["| | for a doubling of cost | 95 % interval |", "|--|--|--|"]
    for name, value, (low, high) in zip(DIMENSIONS, found.coefficients, found.interval95, strict=True):
        lines.append(f"| {name} | {value:.3f} | {low:.3f} to {high:.3f} |")
    lines += [
        "",
        "The intervals hold every finalist that cannot be told from the best; what halving left out takes no part.",
    ]
    lines += ["", "## Candidates", "", "Shares of the extra cost, by the network's own MACs. **=** cannot be told from "
              "the best.", "", "| | depth | width | resolution | MACs | steps | top-1 | 95 % | seeds | |",
              "|--|--|--|--|--|--|--|--|--|--|"]  # fmt: skip
    equal = {id(one) for one in found.equivalent}
    ordered = sorted(found.candidates, key=lambda one: (-one.steps, -(one.accuracy or 0)))
    lines += [_row(one, id(one) in equal) for one in ordered]
    lines += ["", "![shares](pictures/ternary.png)", "", "## What the training lengths say", "", *_lengths(found)]
    if found.unreachable:
        lines += ["", "## Directions that cannot be had", ""]
        lines += [f"- {' / '.join(f'{share:.2f}' for share in shares)}: {why}" for shares, why in found.unreachable]
    lines += ["", "## Cost", "", f"{found.trainings} trainings, {found.device_seconds:,.0f} device-seconds "
              f"({format_seconds(found.device_seconds)}): {found.share_of_full_grid:.0%} of the training that every "
              "candidate at the last length from every seed would take."]  # fmt: skip
    return lines


def _row(one: SearchedCandidate, equal: bool) -> str:
    cells = [
        "**=**" if equal else "",
        *(f"{share:.2f}" for share in one.candidate.actual),
        f"{one.candidate.macs:,}",
        f"{one.steps:,}",
        "" if one.accuracy is None else f"{one.accuracy:.4f}",
        "" if one.interval95 is None else f"{one.interval95[0]:.4f} to {one.interval95[1]:.4f}",
        str(one.seeds),
        f"{one.state}: {one.failure}" if one.failure else one.state,
    ]
    return f"| {' | '.join(cells)} |"


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
