"""The search for alpha, beta and gamma: candidates of one true cost, halving over paired seeds, intervals."""

from convscale.search.coefficients.candidates import (
    Candidates,
    actual_shares,
    candidates_at_cost,
    grid_candidates,
    shares_of,
)
from convscale.search.coefficients.equal import equal_candidates
from convscale.search.coefficients.searching import find_coefficients, search_coefficients
from convscale.search.coefficients.settings import SearchSettings
from convscale.search.coefficients.toward import candidates_toward

__all__ = [
    "Candidates",
    "SearchSettings",
    "actual_shares",
    "candidates_at_cost",
    "candidates_toward",
    "equal_candidates",
    "find_coefficients",
    "grid_candidates",
    "search_coefficients",
    "shares_of",
]
