"""What a ConvNet is: the paper's N, a stem, a table of stages, a head, a resolution and a number of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.networks.blocks import require, require_positive, require_whole
from convscale.networks.describe import describe_network
from convscale.networks.parts import (
    MAX_BLOCKS,
    MAX_CHANNELS,
    MAX_RESOLUTION,
    Head,
    Origin,
    Padding,
    ScalingRules,
    Stage,
    Stem,
)
from convscale.schema import check, from_table, to_table


@dataclass(frozen=True, slots=True, repr=False)
class ConvNet(Displayed):
    """A convolutional network as plain data.

    `resolution` is the side of the square input it is meant for, in pixels. Two networks are equal exactly when
    they compute the same thing: name, rules (`fixed_width` and its like included) and origin take no part.

    Raises ConfigError where the table contradicts itself.
    """

    name: str = field(compare=False)
    resolution: int
    stem: Stem
    stages: tuple[Stage, ...]
    head: Head
    num_classes: int = 1000
    input_channels: int = 3
    padding: Padding = "same"
    norm_eps: float = 1e-3
    rules: ScalingRules = field(default=ScalingRules(), compare=False)
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check(self)
        require(bool(self.name.strip()), "name is empty")
        require(bool(self.stages), "stages: a network needs at least one stage")
        require_whole("num_classes", self.num_classes, MAX_CHANNELS)
        require_whole("input_channels", self.input_channels, 1024, hint="1 for grey, 3 for colour, at most 1024")
        require_positive("norm_eps", self.norm_eps, most=1)
        blocks, stride = self.num_blocks, self.total_stride
        if blocks > MAX_BLOCKS:
            raise ConfigError(f"{blocks} blocks: at most {MAX_BLOCKS} are allowed")
        if not stride <= self.resolution <= MAX_RESOLUTION:
            raise ConfigError(
                f"resolution {self.resolution} is not allowed for a total stride of {stride}",
                hint=f"{stride} to {MAX_RESOLUTION} pixels",
            )

    @property
    def num_blocks(self) -> int:
        """Blocks in all stages together."""
        return sum(stage.repeats for stage in self.stages)

    @property
    def total_stride(self) -> int:
        """Input pixels that one step of the last stage spans."""
        return self.stem.stride * (2 if self.stem.pool else 1) * math.prod(s.stride for s in self.stages)

    def _display(self) -> Display:
        """The table of its stages."""

        return describe_network(self)

    def as_dict(self) -> dict[str, Any]:
        """The table as plain dicts, lists, strings and numbers, defaults left out."""
        return dict(to_table(self))

    @staticmethod
    def from_dict(table: dict[str, Any]) -> ConvNet:
        """The network in a table, as `as_dict` gives it or a TOML file holds it. Raises ConfigError."""
        return from_table(ConvNet, table)

    def with_classes(self, num_classes: int) -> ConvNet:
        """The same network with another number of classes."""
        return replace(self, num_classes=num_classes)

    def at_resolution(self, resolution: int) -> ConvNet:
        """The same network meant for another input size, in pixels."""
        return replace(self, resolution=resolution)
