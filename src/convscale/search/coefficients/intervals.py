"""alpha, beta and gamma of candidates, and how far they range."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.records import Candidate
from convscale.scaling import Scaling

Coefficients = tuple[float, float, float]
Ends = tuple[float, float]


def coefficients_of(candidate: Candidate, method: str) -> Coefficients:
    """alpha, beta, gamma of a candidate: for the literal grid its own point, else what its network's actual growth
    is for a doubling of cost."""
    scaling: Scaling = candidate.scaling if method == "grid" else candidate.doubling
    return scaling.depth, scaling.width, scaling.resolution


def ranges(coefficients: Sequence[Coefficients]) -> tuple[Ends, Ends, Ends]:
    """The lowest and the highest alpha, beta and gamma."""
    alphas, betas, gammas = zip(*coefficients, strict=True)
    return (min(alphas), max(alphas)), (min(betas), max(betas)), (min(gammas), max(gammas))
