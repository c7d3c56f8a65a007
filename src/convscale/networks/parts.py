"""What a ConvNet is made of besides its blocks: stem, rows, stages, head, and how it rounds. Plain data too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from convscale.errors import ConfigError
from convscale.networks.blocks import Activation, Block, require, require_kernel, require_whole
from convscale.schema import FLATTEN, check

Padding = Literal["same", "symmetric"]

MAX_CHANNELS = 1 << 20
MAX_BLOCKS = 10_000
MAX_RESOLUTION = 16_384


def _rule(default: bool) -> bool:
    """A field that says how a part is scaled: like `ConvNet.rules`, it takes no part in equality."""
    return field(default=default, compare=False)


@dataclass(frozen=True, slots=True)
class Stem:
    """The first layer: kxk convolution, norm, activation, and a 3x3 max pool of stride 2 where `pool` says so."""

    channels: int
    kernel: int = 3
    stride: int = 2
    activation: Activation = "silu"
    pool: bool = False
    fixed_width: bool = _rule(False)

    def __post_init__(self) -> None:
        check(self)
        _require_channels(self.channels)
        require_kernel(self.kernel)
        _require_stride(self.stride)


@dataclass(frozen=True, slots=True)
class Row:
    """One operator F_i, repeated L_i times."""

    block: Block = field(metadata=FLATTEN)
    repeats: int

    def __post_init__(self) -> None:
        check(self)
        require_whole("repeats", self.repeats, MAX_BLOCKS)


@dataclass(frozen=True, slots=True)
class Stage:
    """Rows of blocks at one width; only the first block has the stride and the change of width.

    Depth scaling extends (or takes from) the last row; `fixed_depth` and `fixed_width` leave the stage as it is.
    """

    channels: int
    stride: int
    rows: tuple[Row, ...]
    fixed_depth: bool = _rule(False)
    fixed_width: bool = _rule(False)

    def __post_init__(self) -> None:
        check(self)
        _require_channels(self.channels)
        _require_stride(self.stride)
        require(bool(self.rows), "a stage needs at least one row")

    @property
    def repeats(self) -> int:
        """The number of blocks in the stage, L_i."""
        return sum(row.repeats for row in self.rows)


@dataclass(frozen=True, slots=True)
class Pool:
    """Global average pool, dropout, classifier."""

    TYPE: ClassVar[str] = "pool"


@dataclass(frozen=True, slots=True)
class ConvPool:
    """1x1 convolution, norm, activation, global average pool, dropout, classifier (EfficientNet).

    `fixed_width` keeps the channels at every width; without `shrinks` they are kept below width 1 and grow above it,
    as MobileNetV2's.
    """

    TYPE: ClassVar[str] = "conv-pool"
    channels: int
    activation: Activation = "silu"
    fixed_width: bool = _rule(False)
    shrinks: bool = _rule(True)

    def __post_init__(self) -> None:
        check(self)
        _require_channels(self.channels)


@dataclass(frozen=True, slots=True)
class ConvPoolHidden:
    """1x1 convolution, norm, activation, global average pool, hidden layer, activation, dropout, classifier
    (MobileNetV3).

    `fixed_width` keeps both at every width, `fixed_hidden` the hidden layer alone.
    """

    TYPE: ClassVar[str] = "conv-pool-hidden"
    channels: int
    hidden: int
    activation: Activation = "hard_swish"
    fixed_width: bool = _rule(False)
    fixed_hidden: bool = _rule(False)

    def __post_init__(self) -> None:
        check(self)
        _require_channels(self.channels)
        _require_channels(self.hidden)


Head = Pool | ConvPool | ConvPoolHidden


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """How a network rounds when it is scaled.

    Widths go to the nearest multiple of `divisor`, one step up where that falls below `floor` times the exact
    width (0: never); repeats are rounded up ("ceil", the paper) or to the nearest; the resolution goes to the
    nearest multiple of `resolution_step` pixels.
    """

    divisor: int = 8
    floor: float = 0.9
    repeats: Literal["ceil", "nearest"] = "ceil"
    resolution_step: int = 1

    def __post_init__(self) -> None:
        check(self)
        require_whole("divisor", self.divisor, 1024)
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"floor {self.floor} is not allowed", hint="0 to 1")
        require_whole("resolution_step", self.resolution_step, 1024, hint="1 to 1024 pixels")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a scaled network comes from: its baseline's name and the multipliers that were asked for."""

    baseline: str
    depth: float
    width: float
    resolution: float

    def __post_init__(self) -> None:
        check(self)


def _require_channels(channels: int) -> None:
    require_whole("channels", channels, MAX_CHANNELS)


def _require_stride(stride: int) -> None:
    require_whole("stride", stride, 2, hint="allowed: 1, 2")
