"""Recipes: how a network is trained, as TOML files that read like a lab note."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from convscale.errors import UnknownNameError
from convscale.files import read_toml
from convscale.recipes.parts import (
    LBFGS,
    SGD,
    AdamW,
    Augmentation,
    Constant,
    Cosine,
    Optimizer,
    RMSProp,
    Schedule,
    Search,
    Staircase,
    Steps,
)
from convscale.recipes.table import NetworkValues, Recipe
from convscale.schema import from_table

__all__ = [
    "LBFGS",
    "SGD",
    "AdamW",
    "Augmentation",
    "Constant",
    "Cosine",
    "NetworkValues",
    "Optimizer",
    "RMSProp",
    "Recipe",
    "Schedule",
    "Search",
    "Staircase",
    "Steps",
    "recipe",
    "recipe_names",
]


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted(
        item.name.removesuffix(".toml") for item in resources.files(__name__).iterdir() if item.name.endswith(".toml")
    )


def recipe(name_or_file: str | Path) -> Recipe:
    """A recipe by name, or from a TOML file. Raises UnknownNameError or ConfigError."""
    name = str(name_or_file)
    if not name.endswith(".toml"):
        if name not in recipe_names():
            raise UnknownNameError("recipe", name, recipe_names())
        with resources.as_file(resources.files(__name__) / f"{name}.toml") as path:
            return from_table(Recipe, read_toml(path))
    return from_table(Recipe, read_toml(Path(name_or_file)), name)
