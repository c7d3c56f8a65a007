"""Figures are looked at as they are saved."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Each figure that is saved, once; its files stay empty, which is quicker."""
    figures: list[Figure] = []

    def keep(figure: Figure, *arguments: Any, format: str, dpi: float, **options: Any) -> None:
        if format == "png":
            figure.set_dpi(dpi)
            figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
