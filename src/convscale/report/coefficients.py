"""The report of a search for alpha, beta and gamma, as Markdown."""

from __future__ import annotations

from pathlib import Path

from convscale.records import CoefficientSearch, SearchedCandidate
from convscale.records.coefficients import NAMES
from convscale.units import format_seconds

DIMENSIONS = ("alpha (depth)", "beta (width)", "gamma (resolution)")


def evidence_of(found: CoefficientSearch) -> str:
    """One sentence that says what stands behind the coefficients."""
    others = len(found.equivalent) - 1
    equal = f"{others} more cannot be told from it" if others else "no other finalist can be taken for it"
    intervals = ", ".join(
        f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in zip(NAMES, found.interval95, strict=True)
    )
    return (
        f"found for {found.baseline} at {found.cost:g} times its cost{_trained_on(found)}, {found.best.seeds} seeds, "
        f"{len(found.candidates)} candidates; 95 % intervals {intervals}; {equal}"
    )


def _trained_on(found: CoefficientSearch) -> str:
    steps = ", ".join(f"{one:,}" for one in found.lengths)
    if found.training is None:
        return f", {steps} steps"
    data = found.training.data
    images = "all images" if data.train_images is None else f"{data.train_images:,} images"
    epochs = ", ".join(map(str, found.training.epochs))
    return f" on {Path(data.source).name}, {images}, {epochs} epochs ({steps} steps)"


def report(found: CoefficientSearch) -> list[str]:
    """The result, a line each."""
    lines = [f"# alpha, beta, gamma of {found.baseline}", "", f"{found.note[:1].upper()}{found.note[1:]}.", ""]
    lines += ["```", found.training.command, "```", ""] if found.training else []
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
    ordered = sorted(enumerate(found.candidates), key=lambda at: (-at[1].steps, -(at[1].accuracy or 0)))
    lines += [_row(one, index in found.equal_best) for index, one in ordered]
    lines += ["", "![shares](pictures/ternary.png)", "", "## What the training lengths say", "", *_lengths(found)]
    if found.unreachable:
        lines += ["", "## Directions that cannot be had", ""]
        lines += [f"- {' / '.join(f'{share:.2f}' for share in shares)}: {why}" for shares, why in found.unreachable]
    lines += ["", "## Cost", "", f"{found.trainings} trainings, {found.device_seconds:,.0f} device-seconds "
              f"({format_seconds(found.device_seconds)}): {found.share_of_full_grid:.0%} of the training that every "
              "candidate at the last length from every seed would take."]  # fmt: skip
    return lines


def candidates_as_csv(found: CoefficientSearch) -> str:
    """A line a candidate."""
    rows = ["depth,width,resolution,macs,steps,accuracy,low,high,seeds,state"]
    for one in found.candidates:
        low, high = one.interval95 or ("", "")
        accuracy = "" if one.accuracy is None else one.accuracy
        shares = ",".join(f"{share:.4f}" for share in one.candidate.actual)
        rows.append(f"{shares},{one.candidate.macs},{one.steps},{accuracy},{low},{high},{one.seeds},{one.state}")
    return "\n".join(rows) + "\n"


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
