"""Published networks take most of the time of a report: drawn over one cost, unless a test asks for every one."""

from __future__ import annotations

import pytest

from convscale.report.charts.quoted import COSTS


@pytest.fixture(autouse=True)
def few_published(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "every_cost" not in request.keywords:
        for key in set(COSTS) - {"macs"}:
            monkeypatch.delitem(COSTS, key)
