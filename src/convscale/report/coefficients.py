"""The report of a search for alpha, beta and gamma, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscale.records import CoefficientSearch, SearchedCandidate
from convscale.records.coefficients import NAMES
from convscale.report.tables import Column, Table, as_csv, interval, markdown, text_column
from convscale.scaling import Scaling
from convscale.units import format_seconds

DIMENSIONS = ("alpha (depth)", "beta (width)", "gamma (resolution)")
SHARES = "Shares of the extra cost, by the network's own MACs; = is indistinguishable from the best"


def evidence_of(found: CoefficientSearch) -> str:
    """One sentence about the evidence for the coefficients."""
    others = len(found.equivalent) - 1
    one = "1 other candidate is" if others == 1 else f"{others} other candidates are"
    equal = f"{one} statistically indistinguishable" if others else "no other finalist is as good"
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
    """The lines of the report."""
    lines = [f"# alpha, beta, gamma of {found.baseline}", "", f"{found.note[:1].upper()}{found.note[1:]}.", ""]
    lines += ["```", found.training.command, "```", ""] if found.training else []
    lines += markdown(coefficient_table(found))
    lines += [
        "",
        "The intervals include every finalist that is indistinguishable from the best; halving dropped the others.",
    ]
    lines += ["", "## Candidates", "", f"{SHARES}.", "", *markdown(candidate_table(found.candidates, found))]
    lines += ["", "![shares](pictures/ternary.png)", "", "## What the training lengths say", "", *_lengths(found)]
    if found.unreachable:
        lines += ["", "## Directions without a network of this cost", ""]
        lines += [f"- {' / '.join(f'{share:.2f}' for share in shares)}: {why}" for shares, why in found.unreachable]
    lines += ["", "## Cost", "", f"{found.trainings} trainings, {found.device_seconds:,.0f} device-seconds "
              f"({format_seconds(found.device_seconds)}): {found.share_of_full_grid:.0%} of the training that every "
              "candidate would take at the last length with every seed."]  # fmt: skip
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


def candidates_as_csv(found: CoefficientSearch) -> str:
    """One line per candidate."""
    headings = ("depth", "width", "resolution", "macs", "steps", "accuracy", "low", "high", "seeds", "state")
    rows = [
        (
            *(f"{share:.4f}" for share in one.candidate.actual), one.candidate.macs, one.steps, one.accuracy,
            *(one.interval95 or (None, None)), one.seeds, one.state,
        )
        for one in found.candidates
    ]  # fmt: skip
    return as_csv(Table([Column(heading) for heading in headings], rows))


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
        f"{order.candidates} candidates swap, {order.certain_swaps} of them beyond the noise of the seeds; "
        "the winner " + ("changes" if order.best_changes else "is the same")
    )
    return lines
