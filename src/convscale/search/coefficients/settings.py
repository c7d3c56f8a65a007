"""What a search is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal

from convscale.errors import ConfigError, UnknownNameError
from convscale.networks import ConvNet
from convscale.schema import check
from convscale.search.coefficients.candidates import Candidates, candidates_at_cost, grid_candidates

Method = Literal["shares", "grid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What is searched, and how hard. Raises ConfigError for values that contradict themselves."""

    lengths: Sequence[int]
    """Training lengths in steps, two at least, increasing."""
    cost: float = 2.0
    """Of the candidates, times the baseline's MACs; the grid's target."""
    method: Method = "shares"
    """"shares" is a grid of shares of one true cost, "grid" the paper's."""
    seeds: int = 3
    """Paired seeds in a rung, at most."""
    final_seeds: int = 5
    """Seeds of finalists."""
    share_step: float = 1 / 6
    """How far shares are apart."""
    cost_tolerance: float = 0.02
    """How far the true cost of a candidate of shares may be from `cost`, as a fraction."""
    step: float = 0.05
    """How far the grid's points are apart."""
    tolerance: float = 0.1
    """How far alpha beta^2 gamma^2 of a point of the grid may be from `cost`."""
    reduction: int = 3
    """The best 1/reduction of a rung go on."""
    keep: int = 3
    """At least so many go on."""
    probe: int = 5
    """Candidates on which the first rung is checked, down to four where more would take too much of the budget."""
    trust: float = 0.7
    """The rank correlation that the check needs; -1 trusts the rung whatever comes."""
    budget: float = 0.25
    """The share of the full grid's training cost that the search may take. Seeds, cut and finalists give way to it, and
    it to a start at the last length, where no shorter one can be trusted."""
    seed: int = 0
    """The first seed, and of every draw."""

    def __post_init__(self) -> None:
        check(self)
        if len(self.lengths) < 2 or any(a >= b for a, b in pairwise((0, *self.lengths))):
            raise ConfigError(f"lengths {self.lengths} are not allowed", hint="two or more, in steps, increasing")
        if not 1 <= self.seeds <= self.final_seeds or self.final_seeds < 2:
            raise ConfigError(
                f"seeds {self.seeds} and final_seeds {self.final_seeds} are not allowed",
                hint="1 or more, and at least as many final ones, 2 or more",
            )
        if self.reduction < 2 or self.keep < 2 or self.probe < 3:
            raise ConfigError(
                f"reduction {self.reduction}, keep {self.keep}, probe {self.probe} are not allowed",
                hint="2 or more, 2 or more, 3 or more",
            )
        if not (-1 <= self.trust <= 1 and self.budget > 0):
            raise ConfigError(
                f"trust {self.trust} and budget {self.budget} are not allowed",
                hint="a rank correlation from -1 to 1, a share of the full grid above 0",
            )

    def candidates(self, baseline: ConvNet) -> Candidates:
        """What the search has to choose from. Raises as `candidates_at_cost` and `grid_candidates` do."""
        if self.method == "grid":
            return grid_candidates(baseline, step=self.step, tolerance=self.tolerance, target=self.cost)
        return candidates_at_cost(baseline, self.cost, step=self.share_step, tolerance=self.cost_tolerance)


def chosen_settings(settings: SearchSettings | None, options: Mapping[str, Any]) -> SearchSettings:
    """`settings`, or those whose fields `options` names. Raises ConfigError for both or none, for options without
    lengths and for values that are not allowed, UnknownNameError for an option that is no field."""
    if settings is not None:
        if options:
            raise ConfigError(f"settings and {', '.join(options)} are both given", hint="one of them")
        return settings
    names = [field.name for field in fields(SearchSettings)]
    for name in options:
        if name not in names:
            raise UnknownNameError("option of a search", name, names)
    if "lengths" not in options:
        raise ConfigError("a search needs lengths", hint="lengths=[100, 300, 900], in steps")
    return SearchSettings(**options)
