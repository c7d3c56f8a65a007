"""A family: one baseline scaled by one law at several phi, true costs beside 2**phi (step 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convscale.costs import Cost, cost
from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.scaling import Scaling, ScalingLaw, scale
from convscale.schema import to_table

MAX_MEMBERS = 100
MAX_GROWTH = 100_000  # times the baseline's MACs: beyond it nobody means the network


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """A network of a family. cost_ratio: its MACs over the baseline's; ideal_ratio: 2**phi, to compare with."""

    phi: float
    scaling: Scaling
    network: ConvNet
    cost: Cost
    cost_ratio: float

    @property
    def ideal_ratio(self) -> float:
        """2**phi: the round figure by which phi is spoken of. A law's own growth before rounding is macs_growth**phi,
        1.92**phi for the paper's coefficients."""
        return float(2**self.phi)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "phi": self.phi,
            "scaling": {
                "depth": self.scaling.depth, "width": self.scaling.width, "resolution": self.scaling.resolution,
            },
            "network": to_table(self.network),
            "cost": self.cost.as_dict(),
            "cost_ratio": self.cost_ratio,
            "ideal_ratio": self.ideal_ratio,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """A baseline and its scaled networks, by rising phi."""

    baseline: ConvNet
    law: ScalingLaw
    members: tuple[FamilyMember, ...]


def family(baseline: ConvNet, law: ScalingLaw, phis: Sequence[float]) -> Family:
    """Scale `baseline` by `law` at each phi, from the baseline and rounded once.

    Raises ConfigError for no phi, more than 100, negative or repeated ones, one too large for the law or whose network
    is absurd, and a baseline that is itself scaled.
    """
    if not phis or len(phis) > MAX_MEMBERS or len(set(phis)) != len(phis) or min(phis) < 0:
        raise ConfigError(
            f"a family of phi {_listed(phis)} is not allowed", hint=f"1 to {MAX_MEMBERS} of them, different, from 0"
        )
    base = cost(baseline).macs
    members = []
    for phi in sorted(phis):
        scaling = law(phi)
        network = scale(baseline, scaling) if phi else baseline
        total = cost(network)
        if total.macs > MAX_GROWTH * base:
            raise ConfigError(
                f"phi {phi:g} makes a network of {total.macs / base:,.0f} times the baseline's MACs",
                hint=f"at most {MAX_GROWTH:,} times; B7 is phi 7, 103 times",
            )
        members.append(FamilyMember(phi, scaling, network, total, total.macs / base))
    return Family(baseline, law, tuple(members))


def parse_phis(text: str) -> list[float]:
    """phi from text: "0..7" counts by one, "0,0.5,1" lists. Raises ConfigError."""
    found: list[float] = []
    low, high = 0, -1
    try:
        if ".." in text:
            low, high = (int(part) for part in text.split(".."))
        else:
            found = [float(part) for part in text.split(",")]
    except ValueError:
        low, high = 0, -1
    if high - low >= MAX_MEMBERS:
        raise ConfigError(f"phi {text} are {high - low + 1:,}", hint=f"{MAX_MEMBERS} at most")
    found = found or [float(phi) for phi in range(low, high + 1)]
    if not found:
        raise ConfigError(f"phi {text!r} is not allowed", hint="a range as 0..7, or a list as 0,0.5,1,2")
    return found


def _listed(phis: Sequence[float]) -> str:
    return ", ".join(f"{phi:g}" for phi in phis[:8]) + (", ..." if len(phis) > 8 else "")
