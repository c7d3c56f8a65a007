"""How two recipes differ, value by value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convscale.recipes.table import Recipe


def changes(before: Recipe, after: Recipe) -> list[str]:
    """What differs, as "learning_rate 0.1 -> 0.2", parts of parts by their dotted names."""
    old, new = _flat(before), _flat(after)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key} {_short(old.get(key, 'unset'))} -> {_short(new.get(key, 'unset'))}" for key in keys]


def _short(value: object) -> object:
    """A value in words: computed ones, as a third of an epoch, with four figures."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Every value by its dotted name, the note and the table of networks left out."""

    def walk(value: Any, name: str) -> dict[str, Any]:
        if not is_dataclass(value):
            return {name: value}
        flat = {f"{name}.type": value.TYPE} if hasattr(value, "TYPE") else {}
        for part in fields(value):
            flat |= walk(getattr(value, part.name), f"{name}.{part.name}" if name else part.name)
        return flat

    flat = walk(recipe, "")
    return {key: value for key, value in flat.items() if key not in ("note", "networks", "dropout_phi7")}
