"""What a recipe is, and how it follows another batch, other epochs and another network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from convscale.catalog import network as find_network
from convscale.costs import cost
from convscale.errors import ConfigError
from convscale.files import read_toml_text
from convscale.networks import ConvNet
from convscale.recipes.parts import SGD, Augmentation, Cosine, Optimizer, Schedule, require_between, require_share
from convscale.schema import from_table, to_table

LARGEST_PHI = 7.0


@dataclass(frozen=True, slots=True)
class NetworkValues:
    """What a recipe takes for one network in place of its general values."""

    dropout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    learning_rate: for `batch` images a step, after `warmup_epochs` of a linear rise; `schedule` is its course.
    weight_decay: on every parameter but those of batch norm; added to the gradient as L2 (AdamW: decoupled).
    gradient_clip: the largest norm of all gradients together, 0 for none. accumulation: a step's batch is computed
    in so many parts, one after the other. ema_decay: of the moving average of weights and BN statistics that is
    evaluated and kept, 0 for none. dropout: before the classifier; with `dropout_phi7` it rises to that along
    phi = log2(MACs / MACs of EfficientNet-B0), 0 to 7, and `networks` names exceptions. drop_path: the rate that
    the last block nears. norm_momentum: the share of a new batch in the running statistics of batch norm.
    trainable: "head" leaves everything before the classifier as it is. precision: "auto" is bf16 on GPUs that
    have it, else fp32. max_unreadable: the share of training images that may turn out unreadable; they are skipped
    and listed. on_nonfinite: what a loss or gradient that is NaN or infinite leads to: "stop", "skip" the step, or
    "rollback" to the last checkpoint, at most three times. Raises ConfigError for values out of range.
    """

    note: str
    epochs: int
    batch: int
    learning_rate: float
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0
    accumulation: int = 1
    ema_decay: float = 0.0
    dropout: float = 0.0
    dropout_phi7: float | None = None
    drop_path: float = 0.0
    norm_momentum: float = 0.1
    trainable: Literal["all", "head"] = "all"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    max_unreadable: float = 0.05
    on_nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    optimizer: Optimizer = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Cosine)
    augmentation: Augmentation = field(default_factory=Augmentation)
    networks: dict[str, NetworkValues] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_between("epochs", self.epochs, 1, 1_000_000)
        require_between("batch", self.batch, 2, 1_000_000)  # batch norm needs two
        require_between("learning_rate", self.learning_rate, 0, 1000)
        require_between("weight_decay", self.weight_decay, 0, 10)
        require_between("warmup_epochs", self.warmup_epochs, 0, self.epochs)
        require_between("gradient_clip", self.gradient_clip, 0, math.inf)
        require_between("accumulation", self.accumulation, 1, self.batch // 2)
        require_between("norm_momentum", self.norm_momentum, 0, 1)
        require_between("max_unreadable", self.max_unreadable, 0, 1)
        require_share(self, "label_smoothing", "ema_decay", "dropout", "drop_path")
        if self.dropout_phi7 is not None:
            require_share(self, "dropout_phi7")

    def with_changes(self, **changes: Any) -> Recipe:
        """The same recipe with other values; None changes nothing.

        The learning rate follows a changed batch in proportion (Goyal et al. 2017), and warm-up and staircase
        stretch with changed epochs, each unless it is given too.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        if "batch" in given and "learning_rate" not in given:
            given["learning_rate"] = self.learning_rate * given["batch"] / self.batch
        if "batch" in given and "accumulation" not in given:
            given["accumulation"] = max(1, min(self.accumulation, given["batch"] // 2))
        if "epochs" in given:
            ratio = given["epochs"] / self.epochs
            given.setdefault("warmup_epochs", self.warmup_epochs * ratio)
            given.setdefault("schedule", self.schedule.stretched(ratio))
        return replace(self, **given)

    def for_images(self, images: int) -> Recipe:
        """The recipe for so many training images: a batch larger than that is all of them."""
        return self if self.batch <= images else self.with_changes(batch=max(2, images))

    def with_settings(self, settings: list[str]) -> Recipe:
        """The same recipe with values written as KEY=VALUE, the value as in TOML, a word as a string, and a dot in
        the key for a part of a part: `optimizer.eps=1e-3`. Nothing else follows. Raises ConfigError."""
        table = dict(to_table(self))
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals or not key.strip():
                raise ConfigError(f"setting {setting!r} is not KEY=VALUE", hint="as in learning_rate=0.1")
            *parts, last = key.strip().split(".")
            section = table
            owner: Any = self
            for part in parts:
                owner = getattr(owner, part, None)
                section = section.setdefault(part, to_table(owner) if owner is not None else {})
                if not isinstance(section, dict):
                    raise ConfigError(f"{key}: {part} has no parts", hint="one dot at most")
            if last == "type":
                section.clear()
            section[last] = _value(text.strip())
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
        before, after = _flat(other), _flat(self)
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return [f"{key} {before.get(key, 'unset')} -> {after.get(key, 'unset')}" for key in keys]


def _value(text: str) -> Any:
    try:
        table = read_toml_text(f"value = {text}", text)
    except ConfigError:
        return text
    return table["value"] if len(table) == 1 else text


def _same(name: str, network: ConvNet) -> bool:
    """Whether `network` is the catalog's `name`, whatever its number of classes; its own name does not count."""
    return find_network(name).with_classes(network.num_classes) == network


def _phi(network: ConvNet) -> float:
    """log2 of the MACs beside EfficientNet-B0's, within 0 to 7."""
    baseline = cost(find_network("efficientnet-b0").with_classes(network.num_classes))
    return min(max(math.log2(cost(network).macs / baseline.macs), 0.0), LARGEST_PHI)


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
