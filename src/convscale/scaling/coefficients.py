"""alpha, beta and gamma from where they were found, with the evidence behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError
from convscale.files import read_json, read_toml
from convscale.formats import require_version
from convscale.scaling.laws import ALPHA, BETA, GAMMA, ScalingLaw, compound_law
from convscale.schema import check, from_table

NAMES = ("alpha", "beta", "gamma")
RESULT = "coefficients.json"  # in the folder of a search
MAX_BYTES = 100_000_000  # which keeps every candidate's network


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The compound law's alpha (depth), beta (width) and gamma (resolution), and in `note` where they come from."""

    alpha: float
    beta: float
    gamma: float
    note: str = ""

    def __post_init__(self) -> None:
        check(self)

    def law(self) -> ScalingLaw:
        """The compound law. Raises ConfigError for coefficients that make no law."""
        return compound_law(self.alpha, self.beta, self.gamma)


# Tan & Le 2019, section 3.3.
PAPER = Coefficients(ALPHA, BETA, GAMMA, "the paper's, found for EfficientNet-B0 on ImageNet")


def read_coefficients(source: str | Path) -> Coefficients:
    """Coefficients from the folder of a search, from a TOML or JSON file, or from text as "1.2,1.1,1.15".

    Raises ConfigError for a search that has not ended, a missing or malformed file and numbers that make no law.
    """
    path = Path(source)
    if path.is_dir():
        found = _of_search(path)
    elif "," in str(source) and not path.exists():
        found = _of_text(str(source))
    else:
        found = _of_table(read_json(path, MAX_BYTES) if path.suffix == ".json" else read_toml(path), path)
    found.law()
    return found


def _of_search(folder: Path) -> Coefficients:
    if (folder / RESULT).exists():
        return _of_table(read_json(folder / RESULT, MAX_BYTES), folder / RESULT)
    settings = read_json(folder / "settings.json") if (folder / "settings.json").exists() else {}
    if isinstance(settings, dict) and settings.get("kind") == "coefficients":
        raise ConfigError(f"{folder}: its search is not finished", hint=f"convscale study resume {folder}")
    raise ConfigError(
        f"{folder} holds no {RESULT}", hint="create one with: convscale coefficients BASELINE --data D -o DIR"
    )


def _of_table(table: Any, path: Path) -> Coefficients:
    if isinstance(table, dict) and "candidates" in table:  # the file of a search holds much more
        require_version(path, table.get("format_version", 1))
        table = {key: table[key] for key in (*NAMES, "note") if key in table}
    found = from_table(Coefficients, table, str(path))
    return found if found.note else Coefficients(found.alpha, found.beta, found.gamma, f"those of {path}")


def _of_text(text: str) -> Coefficients:
    try:
        alpha, beta, gamma = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a set of coefficients",
            hint="give alpha, beta and gamma as 1.2,1.1,1.15, a file, or the folder of a search",
        ) from None
    return Coefficients(alpha, beta, gamma, "as given")
