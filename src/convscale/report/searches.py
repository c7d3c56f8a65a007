"""What a search for learning rate and weight decay leaves open."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.recipes import Recipe
from convscale.records import SearchRow


def outermost(rows: Sequence[SearchRow], chosen: Recipe) -> list[str]:
    """A sentence for each chosen value that is the greatest or the smallest of several that were tried, so that a value
    beyond it may be better; none where the recipe is not the search's choice, or got everything right. A weight decay
    of 0 has none below it."""
    accuracies = {(row.learning_rate, row.weight_decay): row.accuracy for row in rows}
    if chosen.search or accuracies.get((chosen.learning_rate, chosen.weight_decay), 1.0) == 1:
        return []
    rates = {row.learning_rate for row in rows}
    decays = {row.weight_decay for row in rows if row.learning_rate == chosen.learning_rate}  # which may follow it
    return [
        *_sentences("learning rate", chosen.learning_rate, rates),
        *_sentences("weight decay", chosen.weight_decay, decays),
    ]


def _sentences(what: str, chosen: float, tried: set[float]) -> list[str]:
    """At most one."""
    if len(tried) == 1 or min(tried) < chosen < max(tried) or chosen == 0:
        return []
    most, more = ("greatest", "greater") if chosen == max(tried) else ("smallest", "smaller")
    key = what.replace(" ", "_") + "s"
    return [
        f"{what} {chosen:.3g} is the {most} of the {len(tried)} tried, and a {more} one may be better: "
        f"--set search.{key}=[...]"
    ]
