"""A profile: how long networks took on one machine, engine and number of threads, and what predicts the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from convscale.costs import LatencyPredictor
from convscale.costs.latency_model import LatencyModel, ModelPredictor
from convscale.display import Display, Displayed
from convscale.flattening import TABLE, AsDict
from convscale.networks import ConvNet
from convscale.records.latency import ComputedIn, Environment
from convscale.units import format_seconds

MOVED = 0.2  # of the anchor: so much means another machine, or another load
LEAST_SPREAD = 0.025  # of the anchor: no machine is steadier from one hour to the next


@dataclass(frozen=True, slots=True)
class ProfiledNetwork:
    """A network and how long it took.

    seconds: the median over runs of one batch. anchor_seconds: that of the fixed anchor network just before and after.
    steps: seconds of its steps, timed in place, by the full name of their first layer; none where the engine tells
    none.
    """

    network: ConvNet = field(metadata=TABLE)
    seconds: float
    anchor_seconds: float
    steps: dict[str, float]


@dataclass(frozen=True, slots=True)
class ProfileFit:
    """How far predictions are off for networks that took no part in them: each was left out in turn, with a tenth of
    the others. Relative errors: 0.05 is 5 %."""

    median_error: float
    p90_error: float


@dataclass(frozen=True, slots=True, repr=False)
class Profile(AsDict, Displayed):
    """All that was timed and what was made of it: plain numbers.

    made: when, as ISO 8601 in UTC. seconds: how long that took. anchor_seconds and
    anchor_spread: the median of the anchor's times, and half the range of nine in ten of them, relative to it.
    """

    JSON: ClassVar = (
        "engine", "dtype", "threads", "batch", "seed", "made", "environment", "networks=count", "seconds",
        "anchor_seconds", "anchor_spread", "fit",
    )  # fmt: skip

    engine: str
    dtype: ComputedIn
    threads: int
    batch: int
    seed: int
    made: str
    environment: Environment
    networks: tuple[ProfiledNetwork, ...]
    seconds: float
    anchor_seconds: float
    anchor_spread: float
    fit: ProfileFit
    model: LatencyModel

    @property
    def count(self) -> int:
        """The number of networks."""
        return len(self.networks)

    @property
    def setting(self) -> str:
        """`packed, float32, 1 thread`: what it is a profile of, besides the machine."""
        return f"{self.engine}, {self.dtype}, {self.threads} thread{'' if self.threads == 1 else 's'}"

    def differences(self, here: Environment) -> tuple[str, ...]:
        """What makes `here` another machine than that of the profile, in words; nothing where it is the same. Versions
        and the number of cores that a process may use do not."""
        own = self.environment
        return tuple(
            f"{name} {getattr(own, name) or 'unknown'}, here {getattr(here, name) or 'unknown'}"
            for name in ("system", "machine", "processor")
            if getattr(own, name) != getattr(here, name)
        )

    def predictor(self) -> LatencyPredictor:
        """What `plan` and others take as `predictor`: seconds of a block, for one batch. Raises ConfigError where the
        model is damaged."""
        return ModelPredictor(self.model)

    def has_moved(self, anchor_seconds: float) -> bool:
        """Whether the anchor, timed again, is so far from what it was that the machine is no longer the profile's: by
        more than a fifth, or by more than twice its spread."""
        allowed = min(MOVED, 2 * max(self.anchor_spread, LEAST_SPREAD))
        return abs(anchor_seconds / self.anchor_seconds - 1) > allowed

    def _display(self) -> Display:
        """What it is of, and how well it predicts."""
        fit = self.fit
        rows = (
            ("machine", f"{self.environment.processor}, {self.environment.cores} cores"),
            ("networks", f"{self.count}, timed in {format_seconds(self.seconds)}"),
            ("anchor", f"{format_seconds(self.anchor_seconds)} +- {self.anchor_spread:.1%}"),
            ("error", f"median {fit.median_error:.1%}, nine in ten within {fit.p90_error:.1%}"),
        )
        return Display(f"Profile of {self.setting}, batch {self.batch}", rows=rows)
