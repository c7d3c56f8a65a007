"""What a search for alpha, beta and gamma found, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from convscale.display import Display, Displayed
from convscale.flattening import AsDict
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.records.studies import DataChoice
from convscale.scaling import DIMENSIONS, Scaling, ScalingLaw, compound_law, shares_law
from convscale.statistics import OrderChange

Shares = tuple[float, float, float]
State = Literal["finalist", "pruned", "failed"]

NAMES = ("alpha", "beta", "gamma")
SHARES = {"names": DIMENSIONS}


@dataclass(frozen=True, slots=True, repr=False)
class Candidate(Displayed):
    """A network to try.

    shares: the direction that asked for it, of depth, width, resolution. actual: the shares by its own
    MACs. scaling: multipliers that give exactly this network. cost_ratio: its MACs over the baseline's.
    """

    JSON: ClassVar = ("shares", "actual_shares=actual", "scaling", "network=network.name", "macs", "cost_ratio")

    shares: Shares = field(metadata=SHARES)
    actual: Shares = field(metadata=SHARES)
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

    def coefficients(self, method: str) -> tuple[float, float, float]:
        """alpha, beta, gamma: of the literal grid its own point, otherwise its network's actual growth for a doubling
        of cost."""
        scaling = self.scaling if method == "grid" else self.doubling
        return scaling.depth, scaling.width, scaling.resolution


@dataclass(frozen=True, slots=True, repr=False)
class SearchedCandidate(Displayed):
    """A candidate with what became of it.

    accuracies: steps -> seed -> held-out accuracy, a fraction. steps, accuracy, interval95 and seeds (a count) are of
    the greatest length that it was trained at, the first two 0 and None where it never finished a training.
    """

    JSON: ClassVar = (
        "**candidate", "accuracy", "interval95", "seeds", "steps", "accuracy_by_steps", "state", "failure",
    )  # fmt: skip

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

    @property
    def accuracy_by_steps(self) -> dict[int, float]:
        """The mean accuracy over the seeds after each length that it was trained at, by rising steps."""
        return {steps: sum(by.values()) / len(by) for steps, by in sorted(self.accuracies.items()) if by}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTraining:
    """The trainings of a search: images, recipe, lengths in epochs, and the command that repeats the search in a folder
    with its recipe.toml and baseline.toml."""

    JSON: ClassVar = ("data=data.source", "train_images=data.train_images", "test_images=data.test_images", "epochs")

    data: DataChoice
    recipe: Recipe
    epochs: tuple[int, ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CoefficientSearch(AsDict, Displayed):
    """alpha, beta and gamma (growth of depth, width and resolution) for a doubling of cost, with the evidence.

    interval95: of each coefficient, its range over the candidates that cannot be told from the best. equal_best: the
    positions of these in `candidates`, the one that won first; halving may have left the others out. In 95 % of
    searches the best candidate is one of them. trusted: the rank correlation of probed candidates between each length
    that was checked and the last; first_length: where halving therefore began. order: how the order of candidates
    changes between the two greatest lengths. training_macs: MACs of one image forward times steps, summed;
    full_grid_training_macs: the same for every candidate at the greatest length from every final seed;
    full_grid_device_seconds: an estimate by proportion. noise: by steps, the standard deviation of an accuracy over
    seeds, pooled over the candidates; empty where it is unknown. drift: the standard deviation of what the difference
    of two candidates changes by while the length triples, None where it is unknown. note: one sentence on the evidence
    for the coefficients. training: None where no network was trained but a function evaluated.
    """

    JSON: ClassVar = (
        *NAMES, "interval95", "equivalent=equivalent_shares", "candidates", "device_seconds",
        "full_grid_device_seconds", "training_macs", "full_grid_training_macs", "share_of_full_grid", "trainings",
        "baseline", "method", "cost", "lengths", "first_length", "rank_correlation=trusted", "order", "unreachable",
        "merged", "noise", "drift", "**training", "final_seeds=best.seeds", "note",
    )  # fmt: skip

    alpha: float
    beta: float
    gamma: float
    interval95: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] = field(metadata={"names": NAMES})
    baseline: str
    method: str
    cost: float
    lengths: tuple[int, ...]
    candidates: tuple[SearchedCandidate, ...]
    equal_best: tuple[int, ...]
    unreachable: tuple[tuple[Shares, str], ...] = field(metadata={"each": {"shares": DIMENSIONS, "reason": ()}})
    merged: int
    trusted: dict[int, float | None]
    first_length: int
    order: OrderChange
    device_seconds: float
    full_grid_device_seconds: float
    training_macs: int
    full_grid_training_macs: int
    trainings: int
    noise: dict[int, float] = field(default_factory=dict)
    drift: float | None = None
    note: str = ""
    training: SearchTraining | None = None

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
    def coefficients(self) -> tuple[float, float, float]:
        """alpha, beta and gamma."""
        return self.alpha, self.beta, self.gamma

    @property
    def equivalent(self) -> tuple[SearchedCandidate, ...]:
        """The best finalist, then the candidates that cannot be told from it, finalists or not."""
        return tuple(self.candidates[index] for index in self.equal_best)

    @property
    def equivalent_shares(self) -> tuple[dict[str, float], ...]:
        """The shares that were asked for, by dimension."""
        return tuple(dict(zip(DIMENSIONS, one.candidate.shares, strict=True)) for one in self.equivalent)

    @property
    def best(self) -> SearchedCandidate:
        """The candidate that the coefficients are of."""
        return self.candidates[self.equal_best[0]]

    @property
    def contenders(self) -> tuple[SearchedCandidate, ...]:
        """The candidates that did not fail."""
        return tuple(one for one in self.candidates if one.state != "failed")

    @property
    def share_of_full_grid(self) -> float:
        """What the search cost, as a share of the full grid's training cost."""
        return self.training_macs / self.full_grid_training_macs

    def law(self) -> ScalingLaw:
        """The compound law of what was found."""
        return compound_law(*self.coefficients)
