"""What result files from before format version 2 mean: they had no kind, and were made to be shown, not read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError
from convscale.files import read_toml

Table = dict[str, Any]


def upgraded(kind: str, table: Any, path: Path) -> tuple[str, Table]:
    """The kind and the table of today for a table without a kind. Raises ConfigError where it says too little."""
    if kind == "value search" and isinstance(table, list):
        return kind, {"rows": table}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: not a record of the kind {kind!r}")
    upgrade = _UPGRADES.get(kind)
    return upgrade(table, path) if upgrade else (kind, table)


def _study(table: Table, path: Path) -> tuple[str, Table]:
    """study.toml beside it says what the study was."""
    asked = path.with_name("study.toml")
    if not asked.exists():
        raise ConfigError(
            f"{path}: results from before format version 2 do not say what the study was, and there is no {asked.name}",
            hint=f"restore it, or redo the results: convscale study resume {path.parent}",
        )
    changes = [one | {"change": _renamed(one["change"], "certain_swaps")} for one in _rows(table, "length_changes")]
    return "study", {
        "spec": read_toml(asked),
        "rows": table.get("rows", ()),
        "differences": [_renamed(one, "verdict") for one in _rows(table, "differences")],
        "length_changes": changes,
        "reuses": [_renamed(one, "verdict") for one in _rows(table, "reuses")],
        "unreachable": table.get("unreachable", ()),
    }


def _rows(table: Table, key: str) -> list[Table]:
    return list(table.get(key, ()))


def _renamed(table: Table, name: str) -> Table:
    return {name if key == "told" else key: value for key, value in table.items()}


def _coefficients(table: Table, path: Path) -> tuple[str, Table]:
    raise ConfigError(
        f"{path}: a search from before format version 2 kept alpha, beta, gamma and the figures of its candidates, but "
        "neither their networks nor the accuracies of each seed",
        hint="--coefficients and read_coefficients accept it; convscale study resume on its folder redoes it",
    )


def _family(table: Table, path: Path) -> tuple[str, Table]:
    """Its baseline is the member at phi 0."""
    members = _rows(table, "members")
    baseline = next((one["network"] for one in members if one.get("phi") == 0), None)
    if baseline is None:
        raise ConfigError(
            f"{path}: a family from before format version 2 without phi 0 does not say what its baseline is",
            hint=f"convscale family {table.get('baseline', 'BASELINE')} recreates it",
        )
    law = {"name": "compound", "depth": table["alpha"], "width": table["beta"], "resolution": table["gamma"]}
    trained = any("seeds" in one for one in members)
    return "trained family" if trained else "family", {
        "baseline": baseline,
        "law": law,
        "members": [_trained(one) if trained else _member(one) for one in members],
        "evidence": table.get("evidence", ""),
    }


def _member(table: Table) -> Table:
    return {key: table[key] for key in ("phi", "scaling", "network", "cost", "cost_ratio")}


def _trained(table: Table) -> Table:
    left = {key: table[key] for key in ("accuracy", "interval95", "seeds", "steps", "failures")}
    return {"member": _member(table)} | left


_UPGRADES: dict[str, Callable[[Table, Path], tuple[str, Table]]] = {
    "study": _study,
    "coefficients": _coefficients,
    "family": _family,
}
