"""Networks that were scaled and trained, besides the plans and families of `planning`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from convscale.costs import Cost
from convscale.flattening import TABLE, AsDict
from convscale.networks import ConvNet
from convscale.planning import Family, FamilyMember, Plan
from convscale.recipes import Recipe
from convscale.records.evaluation import Evaluation
from convscale.records.training import DataRecord
from convscale.scaling import Scaling, ScalingLaw


@dataclass(frozen=True, slots=True)
class ScaledNetwork:
    """A network scaled as requested: law says by what, phi is None where it was not by a law.

    It is shown as a plan that no limit binds, so that whatever reads plans can read it.
    """

    JSON: ClassVar = ("law", "phi", "scaling", "network", "cost", "binding", "used", "naive", "alternatives")
    binding: ClassVar[tuple[str, ...]] = ()
    used: ClassVar[dict[str, float]] = {}
    naive: ClassVar[dict[str, Any]] = {}
    alternatives: ClassVar[tuple[dict[str, Any], ...]] = ()

    law: str
    phi: float | None
    scaling: Scaling
    network: ConvNet = field(metadata=TABLE)
    cost: Cost


@dataclass(frozen=True, slots=True)
class TrainedMember:
    """A network of the family and its held-out accuracy over the seeds that finished, None where none did."""

    JSON: ClassVar = ("**member", "accuracy", "interval95", "seeds", "steps", "failures")

    member: FamilyMember
    accuracy: float | None
    interval95: tuple[float, float] | None
    seeds: int
    steps: int
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainedFamily:
    """A family, each of its networks trained from several seeds."""

    JSON: ClassVar = Family.JSON

    baseline: ConvNet
    law: ScalingLaw
    members: tuple[TrainedMember, ...]
    evidence: str = ""

    @property
    def family(self) -> Family:
        """The networks alone."""
        return Family(self.baseline, self.law, tuple(one.member for one in self.members), self.evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecord(AsDict):
    """What `fit` chose and why, planned, trained and measured: fit.json of its run folder.

    run: that folder, as it was named. recipe: as it was carried out; recipe_name: what it was made from. epochs: those
    that were trained, fewer than the recipe's where training stopped early. continues: the run whose
    training it continues, and epochs_before what that had been trained for.
    """

    JSON: ClassVar = (
        "run", "baseline=baseline.name", "reason", "recipe=recipe_name", "law=plan.law.name", "phi=plan.chosen.phi",
        "scaling=plan.chosen.scaling", "cost=plan.chosen.cost_with_latency", "binding=plan.binding",
        "used=plan.chosen.used", "training_seconds", "evaluation",
    )  # fmt: skip

    run: str
    data: DataRecord
    baseline: ConvNet
    reason: str
    recipe_name: str
    recipe: Recipe
    plan: Plan
    epochs: int
    training_seconds: float
    evaluation: Evaluation
    continues: str | None = None
    epochs_before: int = 0
