"""plan: the network of a scaling law that spends a budget best, on true rounded costs.

Turning phi alone misses a budget: repeats, channels and pixels come in whole steps (phi = 1 from EfficientNet-B0
costs 2.57x, not 1.92x). So the planner looks at the distinct networks near the law, nearest first: for each
choice of repeats and channels it finds the largest resolution that keeps every limit, and takes the first
network that spends a limit. None further than 10 % from the law in any dimension is considered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from convscale.costs import Cost, cost
from convscale.display import Display, Displayed
from convscale.errors import BudgetError, ConfigError
from convscale.flattening import TABLE, AsDict
from convscale.networks import ConvNet
from convscale.planning.budget import LATENCY, SPENT, Budget, format_limit
from convscale.planning.lattice import nearest_phi
from convscale.planning.search import Candidate, Search
from convscale.scaling import Scaling, ScalingLaw, compound_law, scale
from convscale.units import format_count

MAX_ALTERNATIVES = 5
NEARLY = 0.95  # the least that an alternative uses, of what the plan uses

# How each cost grows with depth, width and resolution, before rounding: the exponents of the paper's estimate.
GROWTH = {
    "macs": (1, 2, 2),
    "params": (1, 2, 0),
    "activations": (1, 1, 2),
    "file_bytes": (1, 2, 0),
    "inference_memory_bytes": (0, 1, 2),
    "training_memory_bytes_fixed": (1, 2, 0),
    "training_memory_bytes_per_image": (1, 1, 2),
    LATENCY: (1, 2, 2),
}


@dataclass(frozen=True, slots=True, repr=False)
class Proposal(Displayed):
    """A network with its place on the law, its costs, and the share of each limit that it uses."""

    phi: float
    scaling: Scaling
    network: ConvNet = field(metadata=TABLE)
    cost: Cost
    used: dict[str, float]
    off_law: float  # the largest relative deviation of a dimension from the law at phi: 0.05 is 5 %

    def _display(self) -> Display:
        """Its place on the law and its share of each limit."""
        return Display(f"Proposal {self.network.name}", _COLUMNS, (_row("", self),))


@dataclass(frozen=True, slots=True, repr=False)
class Plan(AsDict, Displayed):
    """The network that spends a budget best, and what else there was.

    binding: the limits that are spent (SPENT says how much of each counts), or where none can be, the fullest.
    naive: what the formula alone gives, which may break a limit or fall short. alternatives: neighbours that keep
    the budget and use nearly as much of it, with fewer parameters, MACs or activations, a fuller budget, or a
    place nearer to the law. evidence: a sentence about where the law comes from, empty where nothing is known.
    """

    JSON: ClassVar = ("law=law.name", "evidence", "**chosen", "binding", "naive", "alternatives")

    law: ScalingLaw
    budget: Budget
    chosen: Proposal
    binding: tuple[str, ...]
    naive: Proposal | None = field(metadata={"none": {}})
    alternatives: tuple[Proposal, ...]
    evidence: str = ""

    @property
    def network(self) -> ConvNet:
        """The chosen network."""
        return self.chosen.network

    @property
    def spent(self) -> bool:
        """Whether a limit is spent; else `binding` names the one that came closest."""
        return any(share >= SPENT[key] for key, share in self.chosen.used.items())

    def _display(self) -> Display:
        """What was chosen, what the formula alone gives, and what else there was."""
        limits = ", ".join(f"{key} at most {format_limit(key, value)}" for key, value in self.budget.limits().items())
        naive = [_row("naive", self.naive)] if self.naive else []
        rows = [_row("plan", self.chosen), *naive, *(_row("or", one) for one in self.alternatives)]
        word = "binding" if self.spent else "closest"
        return Display(
            f"Plan {self.network.name}: {self.law.name} law, {limits}", _COLUMNS, tuple(rows),
            notes=(f"{word}: {', '.join(self.binding)}",),
        )  # fmt: skip


_COLUMNS = ("", "phi", "off law", "depth", "width", "px", "params", "MACs", "fullest limit")


def _row(label: str, one: Proposal) -> tuple[str, ...]:
    fullest = max(one.used, key=lambda key: one.used[key])
    return (
        label, f"{one.phi:.2f}", f"{one.off_law:.1%}", f"x{one.scaling.depth:.3f}", f"x{one.scaling.width:.3f}",
        str(one.network.resolution), format_count(one.cost.params), format_count(one.cost.macs),
        f"{one.used[fullest]:.1%} of {fullest}",
    )  # fmt: skip


def plan(
    network: ConvNet,
    budget: Budget,
    law: ScalingLaw | None = None,
    *,
    predict_latency: Callable[[ConvNet], float] | None = None,
) -> Plan:
    """Scale `network` up or down by `law` (the paper's compound law) so that it spends `budget`.

    Never over a limit. `predict_latency(network)` gives seconds, for a latency limit. Raises BudgetError where
    even the smallest network breaks a limit, or where no limit stops the law, and ConfigError where `network`
    is itself scaled.
    """
    if budget.latency_seconds is not None and predict_latency is None:
        raise BudgetError("a latency limit needs a latency prediction", hint="pass predict_latency")
    search = Search(network, law or compound_law(), budget.limits(), predict_latency)
    _require_possible(search)
    return _choose(search, budget)


def _choose(search: Search, budget: Budget) -> Plan:
    candidates = search.candidates(search.largest_phi())
    spent = [candidate for candidate in candidates if candidate.spent]
    if spent:
        best = min(spent, key=lambda c: (c.rank, -max(c.used.values())))
    else:
        best = max(candidates, key=lambda c: (max(c.used.values()), -c.off))
    used = best.used
    binding = tuple(key for key in used if used[key] >= SPENT[key]) or (max(used, key=lambda k: used[k]),)
    others = _neighbours(candidates, best)
    return Plan(
        search.law,
        budget,
        _proposal(search, best),
        binding,
        _naive(search),
        tuple(_proposal(search, candidate) for candidate in others),
    )


def _require_possible(search: Search) -> None:
    """Raise BudgetError where the smallest network of the law breaks a limit."""
    figures = search.smallest().figures
    over = [key for key, limit in search.limits.items() if figures[key] > limit]
    if over:
        told = "; ".join(
            f"{key} {search.limits[key]:,.10g} is below the smallest achievable {figures[key]:,.10g}" for key in over
        )
        raise BudgetError(
            f"no network of {search.network.name} under the {search.law.name} law meets the budget: {told}",
            hint="raise the limit, or start from a smaller baseline or another law",
        )


def _proposal(search: Search, candidate: Candidate) -> Proposal:
    """The candidate with a phi and multipliers that give exactly its network."""
    phi = nearest_phi(search.slopes, candidate.intervals)
    logs = [
        0.0 if slope == 0 and box.low <= 0 <= box.high else box.clip(slope * phi)
        for slope, box in zip(search.slopes, candidate.intervals, strict=True)
    ]
    scaling = Scaling(*(math.exp(log) for log in logs))
    network = scale(search.network, scaling)
    if network != candidate.network:  # a multiplier of exactly 1 leaves a width that rounding would move
        scaling = Scaling(*(math.exp(box.middle) for box in candidate.intervals))
        network = scale(search.network, scaling)
    return Proposal(phi, scaling, network, cost(network), candidate.used, math.expm1(candidate.off))


def _naive(search: Search) -> Proposal | None:
    """What the formula gives: the phi at which the exact, unrounded growth meets the tightest limit; None
    where that network would be absurdly large."""
    base = search.figures(search.network)
    phis = []
    for key, limit in search.limits.items():
        growth = sum(power * slope for power, slope in zip(GROWTH[key], search.slopes, strict=True))
        if growth > 0:
            phis.append(math.log(limit / base[key]) / growth)
    phi = max(min(phis, default=0.0), search.smallest_phi)
    try:
        network = scale(search.network, search.law(phi))
    except ConfigError:
        return None
    return Proposal(phi, search.law(phi), network, cost(network), search.used(search.figures(network)), 0.0)


def _neighbours(candidates: list[Candidate], best: Candidate) -> list[Candidate]:
    """The Pareto front of other shapes that use nearly as much of the budget as the best one does."""
    fullest = max(best.used.values())
    near = [one for one in candidates if one is not best and max(one.used.values()) > NEARLY * fullest]

    def key(one: Candidate) -> tuple[float, ...]:
        figures = one.figures
        return (one.off, -max(one.used.values()), figures["params"], figures["macs"], figures["activations"])

    def beaten(one: tuple[float, ...], by: tuple[float, ...]) -> bool:
        return all(b <= a for a, b in zip(one, by, strict=True))

    front = {key(one): one for one in near}
    others = [
        one
        for own, one in front.items()
        if not beaten(own, key(best)) and not any(own != by and beaten(own, by) for by in front)
    ]
    shapes = {best.network.stages: best}  # one of each choice of repeats and channels
    for one in sorted(others, key=lambda one: one.rank):
        shapes.setdefault(one.network.stages, one)
    return list(shapes.values())[1 : 1 + MAX_ALTERNATIVES]
