"""What a recipe is, and how it follows another batch, other epochs and another network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from convscale.catalog import network as find_network
from convscale.costs import cost
from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.recipes.differences import changes
from convscale.recipes.parts import (
    LBFGS,
    RATE_LIMITS,
    SGD,
    Augmentation,
    ClassWeights,
    Cosine,
    Optimizer,
    Sampling,
    Schedule,
    SearchGrid,
    require_between,
    require_share,
    thinned,
)
from convscale.recipes.settings import parse_settings
from convscale.schema import check, from_table, to_table

LARGEST_PHI = 7.0


@dataclass(frozen=True, slots=True)
class NetworkValues:
    """Values that a recipe uses for one network instead of its general ones."""

    dropout: float | None = None
    """None keeps the recipe's general value."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Recipe(Displayed):
    """How to train. Raises ConfigError for values that are out of range or incompatible."""

    note: str
    """Purpose and origin of the recipe."""
    epochs: int
    """Passes over the training images."""
    batch: int
    """Images per step, over all processes; at least two, for batch norm."""
    learning_rate: float
    """Rate for `batch` images per step, after the warm-up; `schedule` says how it changes."""
    warmup_epochs: float = 0.0
    """Epochs of a linear rise to the learning rate."""
    weight_decay: float = 0.0
    """Applied to every parameter except those of batch norm; added to the gradient as L2 (AdamW: decoupled)."""
    label_smoothing: float = 0.0
    """Share of a label that is spread over all classes."""
    class_weights: ClassWeights = "none"
    """"balanced" weights the loss of each class by images / (classes * images of the class), in training only."""
    sampling: Sampling = "shuffled"
    """"shuffled" takes every image once per epoch; "balanced" draws the same total, equally many per class."""
    gradient_clip: float = 0.0
    """Largest norm of all gradients together, 0 for no clipping."""
    accumulation: int = 1
    """Number of parts in which a step's batch is computed, in sequence."""
    ema_decay: float = 0.0
    """Decay of the moving average of weights and BN statistics that is evaluated and kept, 0 for none."""
    dropout: float = 0.0
    """Dropout probability before the classifier."""
    dropout_phi7: float | None = None
    """Dropout rises to this value along phi = log2(MACs / MACs of EfficientNet-B0), 0 to 7, except in `networks`."""
    drop_path: float = 0.0
    """Stochastic depth rate that the last block approaches."""
    norm_momentum: float = 0.1
    """Share of a new batch in the running statistics of batch norm."""
    norm_momentum_per_epoch: float | None = None
    """Upper limit on the sum of `norm_momentum` over an epoch's steps."""
    norm_statistics: Literal["batch", "frozen"] = "batch"
    """"frozen" normalises with the statistics that the weights came with, as evaluation does, and keeps them."""
    trainable: Literal["all", "head"] = "all"
    """"head" trains only the classifier."""
    head_epochs: int = 0
    """Number of initial epochs that train the head alone, at the full rate; schedule and warm-up begin after them."""
    layer_decay: float = 1.0
    """Factor from one stage's learning rate to that of the stage before; the head has the full rate."""
    steps: int | None = None
    """Train for the number of epochs that is nearest to this many steps, instead of `epochs`."""
    patience: int = 0
    """Stop after this many epochs without a better accuracy and keep the best epoch's weights, 0 for never."""
    validation_share: float = 0.1
    """Share of the training images that is held out for early stopping."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """"auto" is bf16 on GPUs that support it; on CPUs with instructions for it the faster one, measured before training
    and recorded; else fp32."""
    max_unreadable: float = 0.05
    """Share of training images that may be unreadable; they are skipped and listed."""
    on_nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    """What to do about a NaN or infinite loss or gradient: "stop", "skip" the step, or "rollback" to the last
    checkpoint, at most three times."""
    optimizer: Optimizer = field(default_factory=SGD)
    """The optimizer and its settings."""
    schedule: Schedule = field(default_factory=Cosine)
    """How the learning rate changes after the warm-up."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Random changes to training images."""
    search: SearchGrid = field(default_factory=SearchGrid)
    """Learning rates and weight decays to choose from."""
    networks: dict[str, NetworkValues] = field(default_factory=dict)
    """Values for individual networks, by their name in the catalog."""

    def __post_init__(self) -> None:
        check(self)
        require_between("epochs", self.epochs, 1, 1_000_000)
        require_between("batch", self.batch, 2, 1_000_000)  # batch norm needs two
        require_between("learning_rate", self.learning_rate, 0, 1000)
        require_between("weight_decay", self.weight_decay, 0, 10)
        require_between("gradient_clip", self.gradient_clip, 0, math.inf)
        require_between("accumulation", self.accumulation, 1, self.batch // 2)
        require_between("norm_momentum", self.norm_momentum, 0, 1)
        require_between("max_unreadable", self.max_unreadable, 0, 1)
        require_share(self, "label_smoothing", "ema_decay", "dropout", "drop_path")
        require_between("head_epochs", self.head_epochs, 0, self.epochs)
        require_between("warmup_epochs", self.warmup_epochs, 0, self.epochs - self.head_epochs)
        require_between("layer_decay", self.layer_decay, 1e-6, 1)
        require_between("patience", self.patience, 0, 1_000_000)
        require_between("validation_share", self.validation_share, 0.01, 0.9)
        if self.dropout_phi7 is not None:
            require_share(self, "dropout_phi7")
        if self.steps is not None:
            require_between("steps", self.steps, 1, 1_000_000_000)
        if self.norm_momentum_per_epoch is not None:
            require_between("norm_momentum_per_epoch", self.norm_momentum_per_epoch, 0, math.inf)
        for rate in self.search.learning_rates:
            require_between("search.learning_rates", rate, *RATE_LIMITS)
        for decay in self.search.weight_decays:
            require_between("search.weight_decays", decay, 0, 1000)
        if isinstance(self.optimizer, LBFGS):
            self._require_features_alone()

    def _require_features_alone(self) -> None:
        """Raise ConfigError for what has no meaning where the classifier is fitted to features computed once."""
        wanted: dict[str, Any] = {
            "trainable": "head", "epochs": 1, "steps": None, "patience": 0, "ema_decay": 0.0, "dropout": 0.0,
            "sampling": "shuffled", "augmentation": Augmentation(), "search.learning_rates": (),
        }  # fmt: skip
        for name, value in wanted.items():
            owner, _, part = name.rpartition(".")
            found = getattr(getattr(self, owner) if owner else self, part)
            if found != value:
                what = "none" if isinstance(value, Augmentation) or not value else value
                raise ConfigError(
                    f"{name} {found!r} cannot be combined with optimizer.type lbfgs, which computes features once",
                    hint=f"set {name} to {what}, or use another optimizer",
                )

    @property
    def purpose(self) -> str:
        """The first sentence of the note."""
        return re.split(r"(?<=[.]) (?=[A-Z])", " ".join(self.note.split("\n\n")[0].split()))[0]

    def _display(self) -> Display:
        """The values that were set; all others have their defaults."""
        table = {key: value for key, value in to_table(self).items() if key not in ("note", "networks")}
        rows = tuple((key, _listed(value)) for key, value in table.items() if isinstance(value, dict))
        plain = _listed({key: value for key, value in table.items() if not isinstance(value, dict)})
        own = ", ".join(self.networks)
        return Display(f"Recipe: {self.purpose}", rows=rows, notes=(plain, own and f"values of their own: {own}"))

    def with_changes(self, **changes: Any) -> Recipe:
        """The same recipe with other values; None changes nothing.

        The learning rate follows a changed batch in proportion (Goyal et al. 2017), as do those that are searched, and
        warm-up and staircase stretch with changed epochs, each unless it is given too.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        if "batch" in given and "learning_rate" not in given:
            given["learning_rate"] = self.learning_rate * given["batch"] / self.batch
            rates = tuple(rate * given["batch"] / self.batch for rate in self.search.learning_rates)
            given.setdefault("search", replace(self.search, learning_rates=rates))
        if "batch" in given and "accumulation" not in given:
            given["accumulation"] = max(1, min(self.accumulation, given["batch"] // 2))
        if "epochs" in given:
            given.setdefault("head_epochs", min(self.head_epochs, max(0, given["epochs"] - 1)))
            ratio = (given["epochs"] - given["head_epochs"]) / max(self.epochs - self.head_epochs, 1)
            given.setdefault("warmup_epochs", self.warmup_epochs * ratio)
            given.setdefault("schedule", self.schedule.stretched(ratio))
            given.setdefault("steps", None)
        return replace(self, **given)

    def for_images(self, images: int) -> Recipe:
        """The recipe for `images` training images: a larger batch becomes all of them, `steps` have become
        epochs, and `norm_momentum_per_epoch` a momentum."""
        fitting = self if self.batch <= images else self.with_changes(batch=max(2, images))
        per_epoch = max(1, images // fitting.batch)
        if self.steps is not None:
            fitting = fitting.with_changes(epochs=max(1, round(self.steps / per_epoch)))
        if self.norm_momentum_per_epoch is not None:
            momentum = min(self.norm_momentum, self.norm_momentum_per_epoch / per_epoch)
            fitting = replace(fitting, norm_momentum=momentum, norm_momentum_per_epoch=None)
        return fitting

    def searching(self, rates: int, decays: int) -> Recipe:
        """The recipe with a search of this many learning rates and weight decays: those that it names, thinned evenly,
        or, where it names none, half decades around its own. 1 and 1 make no search. Raises ConfigError for fewer."""
        require_between("learning rates to try", rates, 1, 100)
        require_between("weight decays to try", decays, 1, 100)
        fits = isinstance(self.optimizer, LBFGS)
        chosen = replace(
            self.search,
            learning_rates=() if fits else thinned(self.search.learning_rates, rates, self.learning_rate),
            weight_decays=thinned(self.search.weight_decays, decays, self.weight_decay or 1e-4),
        )
        return replace(self, search=chosen if rates * decays > 1 else SearchGrid())

    def choices(self) -> list[Recipe]:
        """The recipes that the search tries, each without a search, in its order; none where it is empty."""
        search = self.search
        if not search:
            return []
        return [
            replace(
                self, search=SearchGrid(), learning_rate=rate,
                weight_decay=decay / rate if search.decay_over_rate and search.weight_decays else decay,
            )
            for rate in search.learning_rates or (self.learning_rate,)
            for decay in search.weight_decays or (self.weight_decay,)
        ]  # fmt: skip

    def with_settings(self, settings: list[str]) -> Recipe:
        """The same recipe with values written as KEY=VALUE, the value as in TOML, a word as a string, and a dot in
        the key for a part of a part: `optimizer.eps=1e-3`. Nothing else follows, but that `epochs` take the place of
        `steps`, and that a new `optimizer.type` starts with the defaults of its own. Raises ConfigError."""
        table = dict(to_table(self))
        found = parse_settings(settings)
        if any(key == "epochs" for key, _ in found):
            table.pop("steps", None)
        for key, value in sorted(found, key=lambda one: not one[0].endswith(".type")):  # which clear their section
            *parts, last = key.split(".")
            section = table
            owner: Any = self
            for part in parts:
                owner = getattr(owner, part, None)
                section = section.setdefault(part, to_table(owner) if owner is not None else {})
                if not isinstance(section, dict):
                    raise ConfigError(f"{key}: {part} has no parts", hint="use one dot at most")
            if last == "type":
                section.clear()
            section[last] = value
        return from_table(Recipe, table)

    def for_network(self, network: ConvNet) -> Recipe:
        """The recipe with the values that its table gives `network`, or, for a network that is not in the table,
        with dropout interpolated; nothing in the result depends on a network any more."""
        changes: dict[str, Any] = {"networks": {}, "dropout_phi7": None}
        listed = next((values for name, values in self.networks.items() if _same(name, network)), None)
        if listed is not None and listed.dropout is not None:
            changes["dropout"] = listed.dropout
        elif self.dropout_phi7 is not None:
            rise = (self.dropout_phi7 - self.dropout) * _phi(network) / LARGEST_PHI
            changes["dropout"] = round(self.dropout + rise, 4)
        return replace(self, **changes)

    def changes_from(self, other: Recipe) -> list[str]:
        """What differs from `other`, as "learning_rate 0.1 -> 0.2", parts of parts by their dotted names."""
        return changes(other, self)


def _listed(table: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in table.items())


def _same(name: str, network: ConvNet) -> bool:
    """Whether `network` is the catalog's `name`, whatever its number of classes; its own name does not count."""
    return find_network(name).with_classes(network.num_classes) == network


def _phi(network: ConvNet) -> float:
    """log2 of the MACs beside EfficientNet-B0's, within 0 to 7."""
    baseline = cost(find_network("efficientnet-b0").with_classes(network.num_classes))
    return min(max(math.log2(cost(network).macs / baseline.macs), 0.0), LARGEST_PHI)
