"""A family, trained: step 2 of the paper, measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscale.data import fit_to_images
from convscale.networks import ConvNet
from convscale.planning import Family, FamilyMember, family
from convscale.recipes import Recipe
from convscale.scaling import ScalingLaw
from convscale.schema import check
from convscale.search import mean_interval
from convscale.studies.coordinator import run_trials
from convscale.studies.executor import Executor
from convscale.studies.folder import Holding, read_settings, require_same_settings
from convscale.studies.trial import DataChoice, Trial, TrialRecord
from convscale.studies.work import choose_images

KIND = "family"


@dataclass(frozen=True, slots=True)
class TrainedMember:
    """A network of the family and its held-out accuracy over the seeds that finished, None where none did."""

    member: FamilyMember
    accuracy: float | None
    interval95: tuple[float, float] | None
    seeds: int
    steps: int
    failures: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        trained = {
            "accuracy": self.accuracy,
            "interval95": None if self.interval95 is None else list(self.interval95),
            "seeds": self.seeds,
            "steps": self.steps,
            "failures": list(self.failures),
        }
        return self.member.as_dict() | trained


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTraining:
    """Which members are trained, on what, from which seeds (0 to seeds - 1)."""

    baseline: ConvNet
    law: ScalingLaw
    phis: tuple[float, ...]
    data: DataChoice
    recipe: Recipe
    seeds: int

    def __post_init__(self) -> None:
        check(self)

    def family(self) -> Family:
        """The family with the data's classes and channels. Raises as `family` and `choose_images` do."""
        return family(fit_to_images(self.baseline, choose_images(self.data)), self.law, self.phis)

    def trials(self) -> list[list[Trial]]:
        """The trials of each member, by seed."""
        recipe = self.recipe.for_images(len(choose_images(self.data).train))
        return [
            [
                Trial(network=member.network, recipe=recipe, data=self.data, seed=seed)
                for seed in range(self.seeds)
            ]
            for member in self.family().members
        ]  # fmt: skip


def read_family_training(folder: Path) -> FamilyTraining:
    """What the training of a family in `folder` is. Raises RunError where there is none."""
    return read_settings(folder, KIND, FamilyTraining)


def train_family(
    training: FamilyTraining, folder: Path, executor: Executor, *, storage: str | None = None, quiet: bool = False
) -> list[TrainedMember]:
    """Train every member from every seed in `folder`, or go on there. Raises as `run_trials` does, and RunError where
    the folder holds something else."""
    with Holding(folder) as study:
        require_same_settings(study.path, KIND, training, read_family_training)
        trials = training.trials()
        flat = [trial for group in trials for trial in group]
        records = run_trials(study.path, flat, executor, storage=storage, quiet=quiet)
    groups = [records[start : start + training.seeds] for start in range(0, len(records), training.seeds)]
    members = training.family().members
    return [_trained(member, group) for member, group in zip(members, groups, strict=True)]


def _trained(member: FamilyMember, records: list[TrialRecord]) -> TrainedMember:
    results = [record.result for record in records if record.result is not None]
    failures = tuple(record.failure for record in records if record.result is None)
    if not results:
        return TrainedMember(member, None, None, 0, 0, failures)
    interval = mean_interval([result.accuracy for result in results])
    return TrainedMember(member, interval.mean, interval.interval95, len(results), results[0].steps, failures)
