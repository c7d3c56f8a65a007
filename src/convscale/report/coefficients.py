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
SHARES = "Shares of the extra cost, by the network's own MACs; = cannot be told from the best"


def evidence_of(found: CoefficientSearch) -> str:
    """One sentence about the evidence for the coefficients."""
    intervals = ", ".join(
        f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in zip(NAMES, found.interval95, strict=True)
    )
    return (
        f"found for {found.baseline} at {found.cost:g} times its cost{_trained_on(found)}, {found.best.seeds} seeds, "
        f"{len(found.candidates)} candidates; 95 % intervals {intervals}, {_set_of(found)}"
    )


def _set_of(found: CoefficientSearch) -> str:
    """What the intervals range over."""
    count, sound = len(found.equivalent), len(found.contenders)
    if count == 1:
        return "those of the best candidate alone"
    if count == sound:
        return f"the ranges over all {count} candidates: none can be told from the best"
    return f"the ranges over the {count} of {sound} candidates that cannot be told from the best"


def meaning(found: CoefficientSearch) -> list[str]:
    """Sentences on what the intervals are, and on what the search leaves open."""
    count, sound, wide = len(found.equivalent), len(found.contenders), _open(found)
    left_out = sum(one.state == "pruned" for one in found.equivalent)
    lines = [
        "Each interval is the range over the candidates that cannot be told from the best, including those that "
        f"halving left out ({left_out} of {count}). In 95 % of searches the best of all candidates is among them."
    ]
    if count == sound > 1:
        lines.append("The search leaves the answer open: the data allow every candidate.")
    elif wide:
        lines.append(f"The data allow every {' and every '.join(wide)} of the candidates.")
    if count > 1 and (wide or count == sound):
        lines.append("A larger budget, more seeds or longer trainings narrow the intervals.")
    return lines + _spread(found)


def _spread(found: CoefficientSearch) -> list[str]:
    """How far accuracies vary, where it is known."""
    if not found.noise or found.drift is None:
        return []
    each = sorted((steps, f"{100 * one:.2f}") for steps, one in found.noise.items())
    same = len({one for _, one in each}) == 1
    points = f"{each[0][1]} points" if same else ", ".join(f"{one} points after {steps:,} steps" for steps, one in each)
    return [
        f"Standard deviations, pooled over the candidates: of an accuracy from seed to seed {points}; of the change in "
        f"the difference between two candidates when training takes three times as long {100 * found.drift:.2f} points."
    ]


def _open(found: CoefficientSearch) -> list[str]:
    """The coefficients of which the interval is as wide as the candidates."""
    every = list(zip(*(one.candidate.coefficients(found.method) for one in found.contenders), strict=True))
    return [
        name
        for name, (low, high), values in zip(NAMES, found.interval95, every, strict=True)
        if low <= min(values) < max(values) <= high
    ]


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
    lines += ["", " ".join(meaning(found))]
    lines += ["", "## Candidates", "", f"{SHARES}.", "", *markdown(candidate_table(found.candidates, found))]
    lines += [
        "",
        "![shares](pictures/ternary.png)",
        "",
        "## What the training lengths say",
        "",
        *lengths_in_words(found),
    ]
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


def lengths_in_words(found: CoefficientSearch) -> list[str]:
    """List items: how far the order of candidates after short trainings is that after long ones."""
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
