"""Recipes: how a network is trained, as TOML files that read like a lab note."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from convscale.library import Library
from convscale.recipes.parts import (
    LBFGS,
    SGD,
    AdamW,
    Augmentation,
    ClassWeights,
    Constant,
    Cosine,
    Optimizer,
    RMSProp,
    Sampling,
    Schedule,
    SearchGrid,
    Staircase,
    Steps,
)
from convscale.recipes.rates import tuning_rate
from convscale.recipes.table import NetworkValues, Recipe

__all__ = [
    "LBFGS",
    "LIBRARY",
    "SGD",
    "AdamW",
    "Augmentation",
    "ClassWeights",
    "Constant",
    "Cosine",
    "NetworkValues",
    "Optimizer",
    "RMSProp",
    "Recipe",
    "Sampling",
    "Schedule",
    "SearchGrid",
    "Staircase",
    "Steps",
    "list_recipes",
    "recipe",
    "tuning_rate",
]


LIBRARY = Library("recipe", Recipe, resources.files(__name__))


def list_recipes() -> list[str]:
    """The names of the recipes that come with the package."""
    return LIBRARY.names()


def recipe(name_or_file: str | Path) -> Recipe:
    """A recipe by name, or from a TOML file. Raises UnknownNameError or ConfigError."""
    return LIBRARY.read(name_or_file)
