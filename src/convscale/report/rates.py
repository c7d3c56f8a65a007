"""The learning rates that a study chose for its networks, and how sensitive these are to them."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.records import RateChoice
from convscale.report.tables import Column, Table, markdown, text_column
from convscale.units import format_number

HEADING = "Learning rates"


def lines_of_rates(rates: Sequence[RateChoice]) -> list[str]:
    """The section of a report; empty where no rates were tuned."""
    if not rates:
        return []
    lines = ["", f"## {HEADING}", "", chosen_by(rates), "", *markdown(rate_table(rates))]
    return [*lines, *(line for text in open_ends(rates) for line in ("", text))]


def chosen_by(rates: Sequence[RateChoice]) -> str:
    """A sentence on the trainings that chose them."""
    epochs = format_number(rates[0].epochs, "epoch")
    return f"Chosen by trainings of {epochs}, on images drawn from the training images."


def open_ends(rates: Sequence[RateChoice]) -> list[str]:
    """Sentences on the networks whose best rate is not enclosed by worse ones."""
    lower = [one for one in rates if one.open_ends[0]]
    upper = [one for one in rates if one.open_ends[1]]
    failed = [one for one in rates if one.failed]
    lines = []
    if upper:
        lines.append(
            f"Not enclosed: {_names(upper)}. No rate did better than the greatest of those tried; a greater one may."
        )
    if lower:
        lines.append(
            f"Not enclosed: {_names(lower)}. No rate did better than the smallest of those tried; a smaller one may."
        )
    if failed:
        lines.append(f"Not known: {_names(failed)}. All trainings failed; the rate is the one that they were around.")
    return lines


def _names(ones: Sequence[RateChoice]) -> str:
    """The networks by baseline, method and cost."""
    return ", ".join(
        f"{one.baseline} {one.method}" + ("" if one.asked is None else f" at {one.asked:g}x") for one in ones
    )


def rate_table(rates: Sequence[RateChoice]) -> Table:
    """Each network's rates with their accuracies, and what a wrong one of them would have cost."""
    columns = (
        text_column("baseline"), text_column("method", wrap=True), Column("cost", "{:g}x".format),
        Column("chosen", "{:g}".format), text_column("rate: top-1, %", wrap=True),
        Column("spread, points", "{:.1f}".format),
    )  # fmt: skip
    return Table(columns, [_row(one) for one in rates])


def _row(one: RateChoice) -> tuple[object, ...]:
    found = [accuracy for accuracy in one.accuracies if accuracy is not None]
    tried = ", ".join(
        f"{rate:g}: {'failed' if accuracy is None else f'{100 * accuracy:.2f}'}"
        for rate, accuracy in zip(one.rates, one.accuracies, strict=True)
    )
    spread = 100 * (max(found) - min(found)) if found else None
    return one.baseline, one.method, one.asked, one.chosen, tried, spread
