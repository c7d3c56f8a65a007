"""alpha, beta and gamma from a file, so that a law found elsewhere can be used by name of its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convscale.files import read_json, read_toml
from convscale.scaling.laws import ScalingLaw, compound_law
from convscale.schema import from_table


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The compound law's alpha (depth), beta (width) and gamma (resolution), and where they come from."""

    alpha: float
    beta: float
    gamma: float
    note: str = ""


def read_coefficients(path: Path) -> ScalingLaw:
    """The compound law in a TOML or JSON file with alpha, beta, gamma. Raises ConfigError."""
    table = read_json(path) if path.suffix == ".json" else read_toml(path)
    found = from_table(Coefficients, table, str(path))
    return compound_law(found.alpha, found.beta, found.gamma)
