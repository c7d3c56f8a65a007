"""plan: the network of a scaling law that spends a budget best, on true rounded costs.

Adjusting phi alone misses a budget: repeats, channels and pixels come in whole steps (phi = 1 from EfficientNet-B0
costs 2.57x, not 1.92x). So the planner considers the distinct networks near the law, ever further from it, until
one spends a limit without breaking any. None further than 10 % from the law in any dimension is considered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from convscale.costs import Cost, cost
from convscale.costs.latency import LatencyPredictor
from convscale.display import Display, Displayed
from convscale.errors import BudgetError, ConfigError
from convscale.flattening import TABLE, AsDict
from convscale.networks import ConvNet
from convscale.planning.budget import LATENCY, SPENT, Budget, binding_limits, format_limit
from convscale.planning.neighbours import REACH, Neighbour, Neighbours
from convscale.planning.pixels import Pixels
from convscale.scaling import Scaling, ScalingLaw, compound_law, scale
from convscale.units import format_count

REACHES = (*(math.log1p(percent / 100) for percent in (0, 0.5, 1, 2, 3, 4.5, 6, 8)), REACH)
EXPLORED = 24  # choices of repeats and channels considered for alternatives
MAX_ALTERNATIVES = 5
NEARLY = 0.95  # the least share of what the plan uses that an alternative must use

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
    """A network with its place near the law, its costs, and the share of each limit that it uses.

    phi: where on the law it is nearest to it. scaling: multipliers that build exactly this network, of those the
    nearest to what they build; exactly 1 in a dimension that is built as the baseline's. blocks: before and after.
    off_law: the largest relative deviation from the law of what is built in a dimension: 0.05 is 5 %.
    latency_seconds: as predicted, None where latency is not limited.
    """

    JSON: ClassVar = ("phi", "scaling", "blocks", "network", "cost=cost_with_latency", "used", "off_law")

    phi: float
    scaling: Scaling
    blocks: tuple[int, int]
    network: ConvNet = field(metadata=TABLE)
    cost: Cost
    used: dict[str, float]
    off_law: float
    latency_seconds: float | None = None

    @property
    def cost_with_latency(self) -> dict[str, Any]:
        """The costs, and `latency_ms` where it is predicted."""
        costs = self.cost.as_dict()
        return costs if self.latency_seconds is None else costs | {"latency_ms": 1e3 * self.latency_seconds}

    def _display(self) -> Display:
        """Its place on the law and its share of each limit."""
        return Display(f"Proposal {self.network.name}", _COLUMNS, (_row("", self),))


@dataclass(frozen=True, slots=True, repr=False)
class Plan(AsDict, Displayed):
    """The network that spends a budget best, and the alternatives.

    binding: the limits that are spent (SPENT says how much of each counts), or where none can be, the fullest.
    naive: what the formula alone gives, which may break a limit or fall short. alternatives: neighbours that keep
    the budget and use nearly as much of it, with fewer parameters, MACs or activations, a fuller budget, or a
    place nearer to the law. baseline: what was scaled. evidence: a sentence about where the law comes from, empty where
    nothing is known. budget: None where nothing limits a network that has its weights.
    """

    JSON: ClassVar = ("law=law.name", "evidence", "**chosen", "binding", "naive", "alternatives")

    law: ScalingLaw
    budget: Budget | None
    chosen: Proposal
    binding: tuple[str, ...]
    naive: Proposal | None = field(metadata={"none": {}})
    alternatives: tuple[Proposal, ...]
    baseline: ConvNet
    evidence: str = ""

    @property
    def network(self) -> ConvNet:
        """The chosen network."""
        return self.chosen.network

    @property
    def limits(self) -> dict[str, float]:
        """The limits of the budget, in base units."""
        return {} if self.budget is None else self.budget.limits()

    @property
    def spent(self) -> bool:
        """Whether a limit is spent; else `binding` names the one that came closest."""
        return any(share >= SPENT[key] for key, share in self.chosen.used.items())

    def _display(self) -> Display:
        """What was chosen, what the formula alone gives, and the alternatives."""
        limits = ", ".join(f"{key} at most {format_limit(key, value)}" for key, value in self.limits.items())
        naive = [_row("naive", self.naive)] if self.naive else []
        rows = [_row("plan", self.chosen), *naive, *(_row("or", one) for one in self.alternatives)]
        word = "binding" if self.spent else "closest to its limit"
        return Display(
            f"Plan {self.network.name}: {self.law.name} law, {limits or 'no limit'}", _COLUMNS, tuple(rows),
            notes=(f"{word}: {', '.join(self.binding)}",) if self.binding else (),
        )  # fmt: skip


_COLUMNS = ("", "phi", "off law", "blocks", "width", "px", "params", "MACs", "fullest limit")


def _row(label: str, one: Proposal) -> tuple[str, ...]:
    fullest = max(one.used, key=lambda key: one.used[key], default=None)
    return (
        label, f"{one.phi:.2f}", f"{one.off_law:.1%}", change(*one.blocks), f"x{one.scaling.width:.3f}",
        str(one.network.resolution), format_count(one.cost.params), format_count(one.cost.macs),
        "" if fullest is None else f"{one.used[fullest]:.1%} of {fullest}",
    )  # fmt: skip


def change(before: int, after: int) -> str:
    """As "16 -> 23", or the number that stays."""
    return str(after) if before == after else f"{before} -> {after}"


def plan(
    network: ConvNet,
    budget: Budget,
    law: ScalingLaw | None = None,
    *,
    predictor: LatencyPredictor | None = None,
    predict_latency: Callable[[ConvNet], float] | None = None,
    resolution: int | None = None,
    max_resolution: int | None = None,
    resolution_step: int = 1,
) -> Plan:
    """Scale `network` up or down by `law` (the paper's compound law) so that it spends `budget`.

    Never over a limit. For a latency limit `predictor` gives the seconds of each block, or `predict_latency` those of
    a network. `resolution` fixes the input side in pixels, whatever the law says. Otherwise it follows the law, in
    multiples of `resolution_step`, up to `max_resolution`, from which on depth and width grow alone.

    Raises BudgetError where even the smallest network breaks a limit, or where no limit stops the law, and ConfigError
    where `network` is itself scaled and where it has none of the requested resolutions.
    """
    limits = budget.limits()
    require_prediction(limits, predictor, predict_latency)
    pixels = Pixels(resolution, max_resolution, resolution_step)
    _require_baseline(network)
    neighbours = Neighbours(network, law or compound_law(), limits, pixels, predictor, predict_latency)
    _require_possible(neighbours)
    return _choose(neighbours, budget)


def require_prediction(
    limits: dict[str, float],
    predictor: LatencyPredictor | None,
    predict_latency: Callable[[ConvNet], float] | None,
) -> None:
    """Raise BudgetError for a latency limit without a prediction, ConfigError for two predictions."""
    if predictor is not None and predict_latency is not None:
        raise ConfigError("predictor and predict_latency are both given", hint="give one of them")
    if LATENCY in limits and predictor is None and predict_latency is None:
        raise BudgetError("a latency limit needs a latency prediction", hint="pass predictor or predict_latency")


def _require_baseline(network: ConvNet) -> None:
    if network.origin is not None:
        scale(network, Scaling(2))  # it raises with the reason


def _choose(neighbours: Neighbours, budget: Budget) -> Plan:
    phi = neighbours.largest_phi()
    neighbours.measure_unevenness(phi)
    found: list[Neighbour] = []
    for reach in REACHES:
        found = [one for around in neighbours.within(reach, phi) for one in neighbours.keeping(*around)]
        spent = [one for one in found if one.spent]
        if spent:
            best = neighbours.nearest(spent, reach)
            break
    else:
        best = max(found or [neighbours.smallest], key=lambda one: (one.fullest, -neighbours.off(one.where)))
    others = _others(neighbours, _around(neighbours, best, reach), best)
    return Plan(
        neighbours.law,
        budget,
        _proposal(neighbours, best),
        binding_limits(best.used),
        _naive(neighbours),
        tuple(_proposal(neighbours, one) for one in others),
        neighbours.network,
    )


def _around(neighbours: Neighbours, best: Neighbour, reach: float) -> list[Neighbour]:
    """Networks with repeats and channels near the best one's, each at its largest resolution that fits."""
    phi = neighbours.phi(best.where)
    around: list[tuple[int, int, range]] = []
    for wider in (one for one in REACHES if one >= reach):
        around = list(neighbours.within(wider, phi))
        if len(around) >= EXPLORED:
            break
    middle = best.where[0], best.where[1]
    around.sort(key=lambda one: (abs(one[0] - middle[0]) + abs(one[1] - middle[1]), one[:2]))
    largest = (neighbours.largest(*one) for one in around[:EXPLORED])
    return [one for one in largest if one is not None]


def _require_possible(neighbours: Neighbours) -> None:
    """Raise BudgetError where the smallest network of the law breaks a limit."""
    figures, limits = neighbours.smallest.figures, neighbours.limits
    over = [
        f"{key} {_exact(key, limit)} is below the smallest achievable {_exact(key, figures[key])}"
        for key, limit in limits.items()
        if figures[key] > limit
    ]
    if over:
        raise BudgetError(
            f"no network of {neighbours.network.name} under the {neighbours.law.name} law meets the budget: "
            + "; ".join(over),
            hint="raise the limit, or start from a smaller baseline or another law",
        )


def _exact(key: str, value: float) -> str:
    """A limit in full; of a duration three figures, since it is a prediction."""
    return format_limit(key, value) if key == LATENCY else f"{value:,.10g}"


def _proposal(neighbours: Neighbours, one: Neighbour) -> Proposal:
    network = neighbours.build(one.where)
    return Proposal(
        neighbours.phi(one.where),
        neighbours.scaling(one.where),
        (neighbours.network.num_blocks, network.num_blocks),
        network,
        cost(network),
        one.used,
        math.expm1(neighbours.off(one.where)),
        one.figures.get(LATENCY),
    )


def _naive(neighbours: Neighbours) -> Proposal | None:
    """What the formula gives: the phi at which the exact, unrounded growth meets the tightest limit; None
    where that network would be absurdly large."""
    try:
        slopes = [dimension.slope for dimension in neighbours.dimensions]
        base = neighbours.at(neighbours.on_law(0.0)).figures
        phis = []
        for key, limit in neighbours.limits.items():
            growth = sum(
                power * dimension.slope
                for power, dimension in zip(GROWTH[key], neighbours.dimensions, strict=True)
                if not dimension.single
            )
            if growth > 0:
                phis.append(math.log(limit / base[key]) / growth)
        phi = max(min(phis, default=0.0), neighbours.smallest_phi)
        where = neighbours.on_law(phi)
        one = neighbours.at(where)
    except ConfigError:
        return None
    scaling = Scaling(*(math.exp(slope * phi) for slope in slopes))
    network = neighbours.build(where)
    blocks = (neighbours.network.num_blocks, network.num_blocks)
    return Proposal(phi, scaling, blocks, network, cost(network), one.used, 0.0, one.figures.get(LATENCY))


def _others(neighbours: Neighbours, found: list[Neighbour], best: Neighbour) -> list[Neighbour]:
    """The Pareto front of other shapes that use nearly as much of the budget as the best one does."""
    near = [one for one in found if one.where[:2] != best.where[:2] and one.fullest > NEARLY * best.fullest]

    def key(one: Neighbour) -> tuple[float, ...]:
        figures = one.figures
        off = neighbours.off(one.where)
        return (off, -one.fullest, figures["params"], figures["macs"], figures["activations"])

    def beaten(one: tuple[float, ...], by: tuple[float, ...]) -> bool:
        return all(b <= a for a, b in zip(one, by, strict=True))

    front = {key(one): one for one in near}
    others = [
        one
        for own, one in front.items()
        if not beaten(own, key(best)) and not any(own != by and beaten(own, by) for by in front)
    ]
    return sorted(others, key=lambda one: neighbours.off(one.where))[:MAX_ALTERNATIVES]
