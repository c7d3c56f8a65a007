"""The operators a stage is made of: plain data, no layers. Each states the order of its layers in one line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from convscale.errors import ConfigError
from convscale.schema import check

# "gelu" is the exact one (Hendrycks & Gimpel 2016, with erf); "none" leaves a layer linear.
Activation = Literal["relu", "relu6", "silu", "hard_swish", "gelu", "none"]
Gate = Literal["sigmoid", "hard_sigmoid"]

MAX_KERNEL = 31


def require(condition: bool, message: str, *, hint: str = "") -> None:
    """Raise ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message, hint=hint)


def require_kernel(kernel: int) -> None:
    if not (1 <= kernel <= MAX_KERNEL and kernel % 2 == 1):
        raise ConfigError(f"kernel {kernel} is not allowed", hint=f"kernels are odd, from 1 to {MAX_KERNEL}")


def require_positive(name: str, value: float, most: float = math.inf) -> None:
    if not 0 < value <= most:
        hint = f"a number above 0 and at most {most}" if most < math.inf else "a number above 0"
        raise ConfigError(f"{name} {value} is not allowed", hint=hint)


def require_whole(name: str, value: int, most: int, *, least: int = 1, hint: str = "") -> None:
    """Raise ConfigError unless least <= value <= most."""
    if not least <= value <= most:
        raise ConfigError(f"{name} {value} is not allowed", hint=hint or f"{least} to {most}")


@dataclass(frozen=True, slots=True)
class Squeeze:
    """Squeeze-and-excitation (Hu et al. 2018): global pool, reduce, activation, expand, gate, multiply.

    The inner width is `ratio` times the block's input width or its expanded width, at least 1, rounded to a
    multiple of `round_to` (1 truncates, as the reference EfficientNet does).
    """

    ratio: float
    of: Literal["input", "expanded"] = "input"
    activation: Activation = "silu"
    gate: Gate = "sigmoid"
    round_to: int = 1

    def __post_init__(self) -> None:
        check(self)
        require_positive("squeeze ratio", self.ratio, most=1)
        require_positive("squeeze round_to", self.round_to, most=1024)


@dataclass(frozen=True, slots=True)
class MBConv:
    """Inverted bottleneck (Sandler et al. 2018): expand 1x1, depthwise, squeeze, project 1x1, add.

    `expansion` 1 has no expand layer. The expanded width is the input width times a whole `expansion`, or that
    product rounded to a multiple of 8. `skip` adds the input where stride is 1 and the width does not change.
    """

    TYPE: ClassVar[str] = "mbconv"
    kernel: int
    expansion: float
    activation: Activation = "silu"
    squeeze: Squeeze | None = None
    skip: bool = True

    def __post_init__(self) -> None:
        check(self)
        require_kernel(self.kernel)
        require_positive("expansion", self.expansion, most=64)


@dataclass(frozen=True, slots=True)
class FusedMBConv:
    """MBConv with expand and depthwise fused (EfficientNetV2, Tan & Le 2021): expand kxk, squeeze, project 1x1,
    add. `expansion` 1 is a single kxk convolution with its activation."""

    TYPE: ClassVar[str] = "fused-mbconv"
    kernel: int
    expansion: float
    activation: Activation = "silu"
    squeeze: Squeeze | None = None
    skip: bool = True

    def __post_init__(self) -> None:
        check(self)
        require_kernel(self.kernel)
        require_positive("expansion", self.expansion, most=64)
        require(
            self.squeeze is None or self.expansion != 1,
            "a fused-mbconv of expansion 1 cannot have a squeeze",
            hint="raise the expansion or omit the squeeze",
        )


@dataclass(frozen=True, slots=True)
class Separable:
    """Depthwise separable convolution (MobileNetV1, Howard et al. 2017): depthwise, pointwise 1x1, each with
    norm and activation."""

    TYPE: ClassVar[str] = "separable"
    kernel: int
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        check(self)
        require_kernel(self.kernel)


@dataclass(frozen=True, slots=True)
class Basic:
    """ResNet's basic block (He et al. 2016): kxk, kxk, squeeze, shortcut, add, activation."""

    TYPE: ClassVar[str] = "basic"
    kernel: int = 3
    activation: Activation = "relu"
    squeeze: Squeeze | None = None

    def __post_init__(self) -> None:
        check(self)
        require_kernel(self.kernel)


@dataclass(frozen=True, slots=True)
class Count:
    """A fixed number of groups, whatever the width (ResNeXt's cardinality)."""

    TYPE: ClassVar[str] = "count"
    groups: int = 1

    def __post_init__(self) -> None:
        check(self)
        require_positive("groups", self.groups, most=4096)


@dataclass(frozen=True, slots=True)
class Width:
    """Groups of a fixed number of channels (RegNet's group width)."""

    TYPE: ClassVar[str] = "width"
    channels: int

    def __post_init__(self) -> None:
        check(self)
        require_positive("group width", self.channels, most=65536)


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """ResNet's bottleneck (He et al. 2016), stride in the kxk layer: reduce 1x1, kxk, squeeze, project 1x1,
    shortcut, add, activation.

    The inner width is `ratio` times the block's output width, rounded to whole groups.
    """

    TYPE: ClassVar[str] = "bottleneck"
    kernel: int = 3
    ratio: float = 0.25
    groups: Count | Width = Count(1)
    activation: Activation = "relu"
    squeeze: Squeeze | None = None

    def __post_init__(self) -> None:
        check(self)
        require_kernel(self.kernel)
        require_positive("ratio", self.ratio, most=16)


@dataclass(frozen=True, slots=True)
class Conv:
    """A plain convolution: kxk, norm, activation."""

    TYPE: ClassVar[str] = "conv"
    kernel: int = 3
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        check(self)
        require_kernel(self.kernel)


Block = MBConv | FusedMBConv | Separable | Basic | Bottleneck | Conv
