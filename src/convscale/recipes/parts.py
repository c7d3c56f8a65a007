"""The parts of a recipe, each a small table: augmentation, optimizers, courses of the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from convscale.errors import ConfigError
from convscale.schema import check


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError unless low <= value <= high."""
    if not low <= value <= high:
        raise ConfigError(f"{name} {value} is not allowed", hint=f"from {low} to {high}")


def require_share(owner: object, *names: str) -> None:
    """Raise ConfigError unless each named field is from 0 to below 1."""
    for name in names:
        require_between(name, getattr(owner, name), 0, 0.999999)


def require_positive(owner: object, *names: str) -> None:
    """Raise ConfigError unless each named field is above 0."""
    for name in names:
        if not getattr(owner, name) > 0:
            raise ConfigError(f"{name} {getattr(owner, name)} is not allowed", hint="above 0")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What training does to an image before normalisation, in this order: crop, flip, policy, erasing; then mixup or
    cutmix on the batch; with both, each batch uses either with equal probability."""

    crop: Literal["none", "shift", "resized"] = "none"
    """"none" resizes as evaluation does, "shift" then moves it, "resized" crops a random part and resizes it
    (Szegedy et al. 2015)."""
    shift: float = 0.125
    """Largest move of "shift", as a share of the side; the gap is filled with edge pixels."""
    scale_min: float = 0.35
    """Smallest share of the area that "resized" crops; the largest is all of it."""
    flip: bool = False
    """Mirror half of the images; wrong for digits and text."""
    policy: Literal["none", "autoaugment", "randaugment"] = "none"
    """AutoAugment's ImageNet policy (Cubuk et al. 2018), or RandAugment (Cubuk et al. 2019)."""
    randaugment_layers: int = 2
    """Number of operations that RandAugment applies in sequence."""
    randaugment_magnitude: float = 10.0
    """Their strength, nominally out of 10, up to 30."""
    erasing: float = 0.0
    """Probability of erasing a box with noise (Zhong et al. 2017)."""
    mixup: float = 0.0
    """Alpha of the Beta distribution, 0 for none."""
    cutmix: float = 0.0
    """Alpha of the Beta distribution, 0 for none."""

    def __post_init__(self) -> None:
        check(self)
        require_between("shift", self.shift, 0, 0.5)
        require_between("scale_min", self.scale_min, 0.01, 1)
        require_between("randaugment_layers", self.randaugment_layers, 1, 14)
        require_between("randaugment_magnitude", self.randaugment_magnitude, 0, 30)
        require_between("erasing", self.erasing, 0, 1)
        require_between("mixup", self.mixup, 0, 100)
        require_between("cutmix", self.cutmix, 0, 100)


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent."""

    TYPE: ClassVar[str] = "sgd"
    momentum: float = 0.9
    """Share of the previous step that is carried over."""
    nesterov: bool = True
    """Whether to use Nesterov momentum."""

    def __post_init__(self) -> None:
        check(self)
        require_share(self, "momentum")


@dataclass(frozen=True, slots=True)
class RMSProp:
    """RMSProp as TensorFlow computes it, the paper's optimizer: see `training/rmsprop.py` for what differs."""

    TYPE: ClassVar[str] = "rmsprop"
    decay: float = 0.9
    """Decay of the mean of squared gradients."""
    momentum: float = 0.9
    """Share of the previous step that is carried over."""
    eps: float = 1e-3
    """Added to the mean of squares, inside the root."""

    def __post_init__(self) -> None:
        check(self)
        require_share(self, "decay", "momentum")
        require_positive(self, "eps")


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    TYPE: ClassVar[str] = "adamw"
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients."""
    eps: float = 1e-8
    """Added to the root of the mean of squares."""

    def __post_init__(self) -> None:
        check(self)
        require_share(self, "beta1", "beta2")
        require_positive(self, "eps")


@dataclass(frozen=True, slots=True)
class Cosine:
    """Down from the full rate along half a cosine after the warm-up."""

    TYPE: ClassVar[str] = "cosine"
    final: float = 0.0
    """Share of the full rate that remains at the end."""

    def __post_init__(self) -> None:
        check(self)
        require_between("final", self.final, 0, 1)

    def factor(self, epoch: float, warmup: float, epochs: float) -> float:
        """The factor on the learning rate after `epoch` epochs."""
        course = min((epoch - warmup) / max(epochs - warmup, 1e-9), 1)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * course))

    def stretched(self, ratio: float) -> Cosine:
        """The same course over `ratio` times as many epochs."""
        return self


@dataclass(frozen=True, slots=True)
class Staircase:
    """Down by steps counted from the very first one, warm-up included: after the paper's 5 epochs of warm-up two have
    been taken already (main.py, utils.py of the reference)."""

    TYPE: ClassVar[str] = "staircase"
    factor_per_step: float = 0.97
    """Factor applied to the learning rate at each step."""
    every_epochs: float = 2.4
    """Epochs between steps."""

    def __post_init__(self) -> None:
        check(self)
        require_between("factor_per_step", self.factor_per_step, 0, 1)
        require_positive(self, "every_epochs")

    def factor(self, epoch: float, warmup: float, epochs: float) -> float:
        """The factor on the learning rate after `epoch` epochs."""
        # 12 epochs are 5 steps of 2.4, though 12 / 2.4 is a hair below 5
        return self.factor_per_step ** math.floor(epoch / self.every_epochs + 1e-9)

    def stretched(self, ratio: float) -> Staircase:
        """The same course over `ratio` times as many epochs."""
        return Staircase(self.factor_per_step, self.every_epochs * ratio)


@dataclass(frozen=True, slots=True)
class Steps:
    """Down by steps at chosen places."""

    TYPE: ClassVar[str] = "steps"
    at: tuple[float, ...] = (0.3, 0.6, 0.9)
    """Positions of the steps, as shares of all epochs."""
    factor_per_step: float = 0.1
    """Factor applied to the learning rate at each of these."""

    def __post_init__(self) -> None:
        check(self)
        require_between("factor_per_step", self.factor_per_step, 0, 1)
        for share in self.at:
            require_between("at", share, 0, 1)

    def factor(self, epoch: float, warmup: float, epochs: float) -> float:
        """The factor on the learning rate after `epoch` epochs."""
        return self.factor_per_step ** sum(epoch >= share * epochs - 1e-9 for share in self.at)

    def stretched(self, ratio: float) -> Steps:
        """The same course over `ratio` times as many epochs."""
        return self


@dataclass(frozen=True, slots=True)
class Constant:
    """The full rate after the warm-up."""

    TYPE: ClassVar[str] = "constant"

    def factor(self, epoch: float, warmup: float, epochs: float) -> float:
        """1."""
        return 1.0

    def stretched(self, ratio: float) -> Constant:
        """The same course over `ratio` times as many epochs."""
        return self


@dataclass(frozen=True, slots=True)
class LBFGS:
    """L-BFGS (Liu & Nocedal 1989) on all images at once: a logistic regression on features that are computed once, for
    the classifier alone."""

    TYPE: ClassVar[str] = "lbfgs"
    max_iterations: int = 500
    """Upper limit on iterations."""

    def __post_init__(self) -> None:
        check(self)
        require_between("max_iterations", self.max_iterations, 1, 1_000_000)


RATE_LIMITS = (1e-12, 1000.0)  # of the learning rates that a search tries


@dataclass(frozen=True, slots=True)
class SearchGrid:
    """Values to choose from by training on a part of the training images and measuring accuracy on the rest; then all
    of them are used for training. Of two equally good values the earlier one is taken."""

    learning_rates: tuple[float, ...] = ()
    """Each is tried with every weight decay; if empty, the recipe's own rate is used."""
    weight_decays: tuple[float, ...] = ()
    """Each is tried with every learning rate; if empty, the recipe's own decay is used."""
    decay_over_rate: bool = False
    """Divide weight decays by the learning rate that they are tried with (Kornblith et al. 2019)."""
    share: float = 0.2
    """Share of the training images that is held out for choosing."""
    epochs_share: float = 1.0
    """Share of the recipe's epochs that each training of the search takes; at least one epoch."""
    further_rates: int = 0
    """How many more learning rates may be tried, each twice the greatest or half the smallest so far, while that is the
    best one."""

    def __post_init__(self) -> None:
        check(self)
        require_between("share", self.share, 0.01, 0.9)
        require_between("epochs_share", self.epochs_share, 0.001, 1)
        require_between("further_rates", self.further_rates, 0, 100)
        if self.further_rates and self.decay_over_rate:  # smaller rates would make decays of any size
            raise ConfigError(
                f"further_rates {self.further_rates} cannot be combined with decay_over_rate",
                hint="name all of search.learning_rates",
            )

    def __bool__(self) -> bool:
        return bool(self.learning_rates or self.weight_decays)


def thinned(values: tuple[float, ...], count: int, around: float) -> tuple[float, ...]:
    """`count` of the values, evenly spread over their order with both ends; where there are none, half decades from
    below `around` to above it; a single one is that itself, or the middle value. No values for no choice."""
    if not values:
        exponents = [index - (count - 1) // 2 for index in range(count)]
        return () if count == 1 else tuple(float(f"{around * 10 ** (exponent / 2):.3g}") for exponent in exponents)
    if count >= len(values):
        return values
    if count == 1:
        return (values[len(values) // 2],)
    return tuple(values[round(index * (len(values) - 1) / (count - 1))] for index in range(count))


Sampling = Literal["shuffled", "balanced"]
ClassWeights = Literal["none", "balanced"]
Optimizer = SGD | RMSProp | AdamW | LBFGS
Schedule = Cosine | Staircase | Steps | Constant
