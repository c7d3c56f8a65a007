"""What all pictures share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from convscale.files import write_atomic
from convscale.machine import cache_folder
from convscale.units import printable


def new_figure(width: float, height: float) -> Any:
    """An empty figure of inches; matplotlib's cache of fonts goes to Convscale's."""
    if not os.environ.get("MPLCONFIGDIR"):
        os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write it as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: figure.savefig(file, format="png", dpi=110))


def plain(name: str) -> str:
    """A class name that a font can show, in one line, its dollar signs no formula."""
    shown = printable(name)
    shown = (shown if len(shown) <= 24 else shown[:23]).encode("latin-1", "replace").decode("latin-1")
    return shown.replace("$", r"\$") + ("…" if len(printable(name)) > 24 else "")
