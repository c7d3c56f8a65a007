"""Recipes: how a network is trained, as TOML files that read like a lab note."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from convscale.errors import ConfigError, UnknownNameError
from convscale.files import read_toml
from convscale.schema import from_table


def _require_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} {value} is not allowed", hint=f"from {low} to {high}")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What training does to an image before normalisation.

    crop: "none" resizes as evaluation does; "shift" then moves it by up to `shift` of its side, filling with
    the edge; "resized" cuts a random part of `scale_min` to 1 of the area and resizes that (Szegedy et al.
    2015). flip: mirror half of the images; wrong for digits and text.
    """

    crop: Literal["none", "shift", "resized"] = "none"
    shift: float = 0.125
    scale_min: float = 0.35
    flip: bool = False

    def __post_init__(self) -> None:
        _require_between("shift", self.shift, 0, 0.5)
        _require_between("scale_min", self.scale_min, 0.01, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train: SGD with Nesterov momentum, a linear warm-up and a cosine to zero.

    learning_rate is for `batch` images a step. weight_decay is not applied to biases and norms. norm_momentum
    is the share of a new batch in the running statistics of batch norm. Raises ConfigError for values out of
    range.
    """

    note: str
    epochs: int
    batch: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0
    dropout: float = 0.0
    drop_path: float = 0.0
    norm_momentum: float = 0.1
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        _require_between("epochs", self.epochs, 1, 1_000_000)
        _require_between("batch", self.batch, 2, 1_000_000)  # batch norm needs two
        _require_between("learning_rate", self.learning_rate, 0, 1000)
        _require_between("weight_decay", self.weight_decay, 0, 10)
        _require_between("warmup_epochs", self.warmup_epochs, 0, self.epochs)
        _require_between("gradient_clip", self.gradient_clip, 0, math.inf)
        _require_between("norm_momentum", self.norm_momentum, 0, 1)
        for name in ("momentum", "label_smoothing", "dropout", "drop_path"):
            _require_between(name, getattr(self, name), 0, 0.9999)

    def with_changes(self, **changes: Any) -> Recipe:
        """The same recipe with other values; None changes nothing. The learning rate follows a changed batch
        in proportion (Goyal et al. 2017), unless it is changed too; a warm-up never outlasts the epochs."""
        given = {key: value for key, value in changes.items() if value is not None}
        if "batch" in given and "learning_rate" not in given:
            given["learning_rate"] = self.learning_rate * given["batch"] / self.batch
        if "epochs" in given and "warmup_epochs" not in given:
            given["warmup_epochs"] = min(self.warmup_epochs, given["epochs"])
        return replace(self, **given)


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
    try:
        return from_table(Recipe, read_toml(Path(name_or_file)))
    except ConfigError as error:
        message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        raise ConfigError(message, hint=error.hint) from None
