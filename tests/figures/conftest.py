"""Figures are looked at as they are saved."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from convscale.figures import style


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Each figure that is saved; as PNG alone, which is quicker."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        save(figure, *arguments, **options)
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    monkeypatch.setattr(style, "FORMATS", {".png": {}})
    return figures
