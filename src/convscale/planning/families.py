"""A family: one baseline scaled by one law at several phi, true costs next to 2**phi (step 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from convscale.costs import Cost, cost
from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.flattening import TABLE, AsDict
from convscale.networks import ConvNet
from convscale.scaling import Scaling, ScalingLaw, scale
from convscale.units import format_count

MAX_MEMBERS = 100
MAX_GROWTH = 100_000  # times the baseline's MACs: beyond it, surely a mistake


@dataclass(frozen=True, slots=True, repr=False)
class FamilyMember(Displayed):
    """A network of a family. cost_ratio: its MACs over the baseline's; ideal_ratio: 2**phi, to compare with."""

    JSON: ClassVar = ("phi", "scaling", "network", "cost", "cost_ratio", "ideal_ratio")

    phi: float
    scaling: Scaling
    network: ConvNet = field(metadata=TABLE)
    cost: Cost
    cost_ratio: float

    @property
    def ideal_ratio(self) -> float:
        """2**phi: the round figure usually quoted for phi. A law's own growth before rounding is macs_growth**phi,
        1.92**phi for the paper's coefficients."""
        return float(2**self.phi)

    def _display(self) -> Display:
        """Its costs."""
        return Display(f"FamilyMember {self.network.name}", _COLUMNS, (_row(self),))


@dataclass(frozen=True, slots=True, repr=False)
class Family(AsDict, Displayed):
    """A baseline and its scaled networks, by rising phi. evidence: a sentence about where the law comes from, empty
    where nothing is known."""

    JSON: ClassVar = (
        "baseline=baseline.name", "alpha=law.depth", "beta=law.width", "gamma=law.resolution", "evidence", "members",
    )  # fmt: skip

    baseline: ConvNet
    law: ScalingLaw
    members: tuple[FamilyMember, ...]
    evidence: str = ""

    def _display(self) -> Display:
        """Each member with its costs."""
        growth = Scaling(self.law.depth, self.law.width, self.law.resolution).in_words()
        title = f"Family of {self.baseline.name}: {self.law.name} law, {growth} at phi 1"
        return Display(title, _COLUMNS, tuple(map(_row, self.members)))


_COLUMNS = ("phi", "depth", "width", "px", "params", "MACs", "true cost", "2^phi")


def _row(one: FamilyMember) -> tuple[str, ...]:
    return (
        f"{one.phi:g}", f"x{one.scaling.depth:.3f}", f"x{one.scaling.width:.3f}", str(one.network.resolution),
        format_count(one.cost.params), format_count(one.cost.macs), f"{one.cost_ratio:.2f}x", f"{one.ideal_ratio:.2f}x",
    )  # fmt: skip


def family(baseline: ConvNet, law: ScalingLaw, phis: Sequence[float]) -> Family:
    """Scale `baseline` by `law` at each phi, from the baseline and rounded once.

    Raises ConfigError for no phi, more than 100, negative or repeated ones, one too large for the law or whose network
    is absurd, and a baseline that is itself scaled.
    """
    if not phis or len(phis) > MAX_MEMBERS or len(set(phis)) != len(phis) or min(phis) < 0:
        raise ConfigError(
            f"a family of phi {_listed(phis)} is not allowed", hint=f"1 to {MAX_MEMBERS} different values, 0 or more"
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


def _listed(phis: Sequence[float]) -> str:
    return ", ".join(f"{phi:g}" for phi in phis[:8]) + (", ..." if len(phis) > 8 else "")
