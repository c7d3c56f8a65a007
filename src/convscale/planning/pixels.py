"""Which resolutions a plan may take: one, up to a largest, in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convscale.errors import ConfigError
from convscale.networks import MAX_RESOLUTION, ConvNet


@dataclass(frozen=True, slots=True)
class Pixels:
    """The input sides that a plan may take, in pixels.

    exact: only this one. most: none above it. step: only multiples of it. Raises ConfigError where they contradict each
    other.
    """

    exact: int | None = None
    most: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        for name, value in (("resolution", self.exact), ("max_resolution", self.most), ("resolution_step", self.step)):
            if value is not None and not (type(value) is int and 1 <= value <= MAX_RESOLUTION):
                raise ConfigError(f"{name} {value!r} is not allowed", hint=f"whole pixels from 1 to {MAX_RESOLUTION}")
        if self.exact is None:
            return
        if self.most is not None and self.exact > self.most:
            raise ConfigError(f"resolution {self.exact} is above max_resolution {self.most}", hint="omit one of them")
        if self.exact % self.step:
            raise ConfigError(
                f"resolution {self.exact} is not a multiple of resolution_step {self.step}",
                hint="omit one of them",
            )

    def allows(self, side: int) -> bool:
        """Whether a plan may take this side."""
        if self.exact is not None:
            return side == self.exact
        return side % self.step == 0 and (self.most is None or side <= self.most)

    def sides(self, network: ConvNet) -> range:
        """The sides, from the smallest up, that `network`'s rules allow too. Raises ConfigError where there is none."""
        step = math.lcm(self.step, network.rules.resolution_step)
        least = math.ceil(network.total_stride / step) * step
        most = MAX_RESOLUTION if self.most is None else self.most
        if self.exact is not None:
            self._require_built(network)
            return range(self.exact, self.exact + 1)
        if most < least:
            raise ConfigError(
                f"{network.name} has no resolution up to {most} pixels",
                hint=f"its smallest is {least}, a multiple of {step} that its total stride of {network.total_stride} "
                "allows",
            )
        return range(least, most + 1, step)

    def require_kept(self, network: ConvNet, law: str) -> None:
        """Raise ConfigError where a law that leaves the resolution alone leaves one that is not allowed."""
        if not self.allows(network.resolution):
            limit = (
                f"above {self.most}"
                if self.most and network.resolution > self.most
                else f"not a multiple of {self.step}"
            )
            raise ConfigError(
                f"the {law} law leaves {network.name} at {network.resolution} pixels, {limit}",
                hint="give the resolution itself, or choose a law that scales it",
            )

    def _require_built(self, network: ConvNet) -> None:
        """Raise ConfigError where scaling by the network's rules cannot give the requested side."""
        step, side = network.rules.resolution_step, self.exact or 0
        if side < network.total_stride:
            raise ConfigError(
                f"resolution {side} is not allowed for {network.name}, whose total stride is {network.total_stride}",
                hint=f"{network.total_stride} to {MAX_RESOLUTION} pixels",
            )
        if side % step and side != network.resolution:
            raise ConfigError(
                f"resolution {side} is not allowed for {network.name}",
                hint=f"its rules allow multiples of {step} pixels",
            )
