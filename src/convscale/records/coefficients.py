"""What a search for alpha, beta and gamma found, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from convscale.display import Display, Displayed
from convscale.networks import ConvNet
from convscale.scaling import Scaling, ScalingLaw, compound_law, shares_law
from convscale.statistics import OrderChange

Shares = tuple[float, float, float]
State = Literal["finalist", "pruned", "failed"]

NAMES = ("alpha", "beta", "gamma")


@dataclass(frozen=True, slots=True, repr=False)
class Candidate(Displayed):
    """A network to be tried.

    shares: the direction that asked for it, of depth, width, resolution. actual: what its own MACs say the shares
    are. scaling: multipliers that give exactly this network. cost_ratio: its MACs over the baseline's.
    """

    shares: Shares
    actual: Shares
    scaling: Scaling
    network: ConvNet
    macs: int
    cost_ratio: float

    def _display(self) -> Display:
        """In one line."""
        return Display(f"Candidate {self.network.name}: {self.scaling.in_words()}, {self.cost_ratio:.2f}x the cost")

    @property
    def doubling(self) -> Scaling:
        """The multipliers of its actual shares for a doubling of cost: alpha, beta, gamma of its law."""
        depth, width, resolution = (max(share, 0.0) for share in self.actual)
        return shares_law(depth, width, resolution)(1.0)


@dataclass(frozen=True, slots=True, repr=False)
class SearchedCandidate(Displayed):
    """A candidate with what became of it.

    accuracies: steps -> seed -> held-out accuracy, a fraction. steps, accuracy, interval95 and seeds (a count) are of
    the greatest length that it was trained at, the first two 0 and None where it never finished a training.
    """

    candidate: Candidate
    state: State
    failure: str
    accuracies: dict[int, dict[int, float]]
    steps: int
    accuracy: float | None
    interval95: tuple[float, float] | None
    seeds: int

    def _display(self) -> Display:
        """In one line."""
        found = "no accuracy" if self.accuracy is None else f"top-1 {self.accuracy:.4f} over {self.seeds} seeds"
        return Display(f"{self.candidate!r}, {self.state}, {found} after {self.steps:,} steps")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        one = self.candidate
        means = {str(steps): sum(by.values()) / len(by) for steps, by in sorted(self.accuracies.items()) if by}
        return {
            "shares": _named(one.shares),
            "actual_shares": _named(one.actual),
            "scaling": _named((one.scaling.depth, one.scaling.width, one.scaling.resolution)),
            "network": one.network.name,
            "macs": one.macs,
            "cost_ratio": one.cost_ratio,
            "accuracy": self.accuracy,
            "interval95": None if self.interval95 is None else list(self.interval95),
            "seeds": self.seeds,
            "steps": self.steps,
            "accuracy_by_steps": means,
            "state": self.state,
            "failure": self.failure,
        }


@dataclass(frozen=True, slots=True, repr=False)
class CoefficientSearch(Displayed):
    """alpha, beta and gamma for a doubling of cost, with the evidence.

    interval95: of each coefficient, over which finalist wins when seeds are drawn again, and over those that cannot
    be told from the best; it knows nothing of candidates that halving left out. equivalent: the finalists whose paired
    difference from the best holds zero, the best first. trusted: the rank correlation of probed candidates between
    each length that was looked at and the last; first_length is where halving began by it. order: how the order of
    candidates changes between the two greatest lengths. training_macs: MACs of one image forward times steps, summed;
    full_grid_training_macs is what every candidate at the greatest length from every final seed costs,
    full_grid_device_seconds an estimate by proportion.
    """

    baseline: str
    method: str
    cost: float
    lengths: tuple[int, ...]
    best: SearchedCandidate
    coefficients: tuple[float, float, float]
    interval95: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    equivalent: tuple[SearchedCandidate, ...]
    candidates: tuple[SearchedCandidate, ...]
    unreachable: tuple[tuple[Shares, str], ...]
    merged: int
    trusted: dict[int, float | None]
    first_length: int
    order: OrderChange
    device_seconds: float
    full_grid_device_seconds: float
    training_macs: int
    full_grid_training_macs: int
    trainings: int

    def _display(self) -> Display:
        """The coefficients with their intervals, and the best candidate."""
        rows = tuple(
            (name, f"{value:.4f}", f"{low:.4f} to {high:.4f}")
            for name, value, (low, high) in zip(NAMES, self.coefficients, self.interval95, strict=True)
        )
        title = (
            f"CoefficientSearch of {self.baseline} at {self.cost:g} times its cost: "
            f"{len(self.candidates)} candidates, {self.trainings:,} trainings"
        )
        return Display(title, ("", "", "95 %"), rows, notes=(f"best: {self.best!r}",))

    @property
    def alpha(self) -> float:
        """Growth of depth for a doubling of cost."""
        return self.coefficients[0]

    @property
    def beta(self) -> float:
        """Growth of width for a doubling of cost."""
        return self.coefficients[1]

    @property
    def gamma(self) -> float:
        """Growth of resolution for a doubling of cost."""
        return self.coefficients[2]

    @property
    def share_of_full_grid(self) -> float:
        """What the search cost, of the full grid's training cost."""
        return self.training_macs / self.full_grid_training_macs

    def law(self) -> ScalingLaw:
        """The compound law of what was found."""
        return compound_law(*self.coefficients)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: alpha, beta, gamma, interval95, equivalent, candidates, device_seconds, and the evidence."""
        return {
            **dict(zip(NAMES, self.coefficients, strict=True)),
            "interval95": {name: list(ends) for name, ends in zip(NAMES, self.interval95, strict=True)},
            "equivalent": [_named(one.candidate.shares) for one in self.equivalent],
            "candidates": [one.as_dict() for one in self.candidates],
            "device_seconds": self.device_seconds,
            "full_grid_device_seconds": self.full_grid_device_seconds,
            "training_macs": self.training_macs,
            "full_grid_training_macs": self.full_grid_training_macs,
            "share_of_full_grid": self.share_of_full_grid,
            "trainings": self.trainings,
            "baseline": self.baseline,
            "method": self.method,
            "cost": self.cost,
            "lengths": list(self.lengths),
            "first_length": self.first_length,
            "rank_correlation": {str(steps): value for steps, value in self.trusted.items()},
            "order": self.order.as_dict(),
            "unreachable": [{"shares": _named(shares), "reason": reason} for shares, reason in self.unreachable],
            "merged": self.merged,
        }


def _named(values: Shares) -> dict[str, float]:
    return dict(zip(("depth", "width", "resolution"), values, strict=True))
