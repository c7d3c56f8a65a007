"""The search for alpha, beta and gamma: candidates of one true cost, halving over paired seeds, what can be told."""

from convscale.search.candidates import (
    Candidate,
    Candidates,
    actual_shares,
    candidates_at_cost,
    candidates_toward,
    grid_candidates,
    shares_of,
)
from convscale.search.coefficients import find_coefficients, search_coefficients
from convscale.search.result import CoefficientSearch, SearchedCandidate
from convscale.search.settings import SearchOptions, SearchSettings
from convscale.search.statistics import (
    CANNOT_TELL,
    Difference,
    Interval,
    OrderChange,
    mean_interval,
    order_changes,
    paired_difference,
    rank_correlation,
)
from convscale.search.trials import Evaluator, Outcome, Question, planted

__all__ = [
    "CANNOT_TELL",
    "Candidate",
    "Candidates",
    "CoefficientSearch",
    "Difference",
    "Evaluator",
    "Interval",
    "OrderChange",
    "Outcome",
    "Question",
    "SearchOptions",
    "SearchSettings",
    "SearchedCandidate",
    "actual_shares",
    "candidates_at_cost",
    "candidates_toward",
    "find_coefficients",
    "grid_candidates",
    "mean_interval",
    "order_changes",
    "paired_difference",
    "planted",
    "rank_correlation",
    "search_coefficients",
    "shares_of",
]
