"""Fixtures of the searches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import convscale as cs
from convscale.networks import ConvNet
from convscale.search.coefficients import Candidates, candidates_at_cost
from convscale.search.coefficients import settings as search_settings
from tests.search.planted import candidates


@pytest.fixture
def planned_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Searches share their candidates: planning them takes longer than a planted search."""

    def known(baseline: ConvNet, cost: float, *, step: float, tolerance: float) -> Candidates:
        if baseline == cs.network("small-mbconv") and tolerance == 0.02:
            return candidates(step, cost)
        return candidates_at_cost(baseline, cost, step=step, tolerance=tolerance)

    monkeypatch.setattr(search_settings, "candidates_at_cost", known)
    yield
