"""A family, trained: step 2 of the paper, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convscale.data import fit_to_images
from convscale.files import read_json
from convscale.networks import ConvNet
from convscale.planning import Family, FamilyMember, family
from convscale.recipes import Recipe
from convscale.records import DataChoice, TrainedFamily, TrainedMember, write_family
from convscale.records.files import MAX_RECORD_BYTES
from convscale.scaling import ScalingLaw
from convscale.schema import check
from convscale.statistics import accuracy_interval
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Executor
from convscale.trials.folders import hold_study, read_settings, require_same_settings
from convscale.trials.taking import FinishedTrials
from convscale.trials.training_work import choose_images, fingerprint_of
from convscale.trials.trial import Trial, TrialRecord

KIND = "family"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTraining:
    """Which members are trained, on what, from which seeds (0 to seeds - 1). evidence: where the law comes from, in a
    sentence; it does not decide whether two trainings are the same, and folders of older versions have none."""

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
        recipe, images = self.recipe.for_images(len(choose_images(self.data).train)), fingerprint_of(self.data)
        return [
            [
                Trial(network=member.network, recipe=recipe, data=self.data, seed=seed, images=images)
                for seed in range(self.seeds)
            ]
            for member in self.family().members
        ]  # fmt: skip


def read_family_training(folder: str | Path) -> FamilyTraining:
    """The settings of the family training in `folder`. Raises RunError where there is none."""
    return read_settings(Path(folder), KIND, FamilyTraining)


def train_family(
    training: FamilyTraining,
    folder: str | Path,
    executor: Executor,
    *,
    evidence: str = "",
    storage: str | None = None,
    quiet: bool = False,
    records: Sequence[str | Path] = (),
) -> TrainedFamily:
    """Train every member from every seed in `folder`, resuming what is there, and write the networks and family.json.

    evidence: where the law comes from; by default what family.json says. records: files of finished trials, from which
    those of this family are taken first. Raises as `run_trials` and `FinishedTrials` do, and RunError where the folder
    holds something else.
    """
    finished = FinishedTrials(records, quiet=quiet)
    with hold_study(Path(folder)) as study:
        require_same_settings(study.path, KIND, training, read_family_training)
        trials = training.trials()
        made = replace(training.family(), evidence=evidence or _kept_evidence(study.path, training.law))
        write_family(made, study.path)  # for whoever resumes here; it is written again with accuracies
        flat = [trial for group in trials for trial in group]
        finished.take(study, flat)
        finished.report()
        ran = run_trials(study.path, flat, executor, storage=storage, quiet=quiet)
        groups = [ran[start : start + training.seeds] for start in range(0, len(ran), training.seeds)]
        members = tuple(_trained(member, group) for member, group in zip(made.members, groups, strict=True))
        trained = TrainedFamily(made.baseline, made.law, members, made.evidence)
        write_family(trained, study.path)
    return trained


def _kept_evidence(folder: Path, law: ScalingLaw) -> str:
    """What family.json says of the law, of any format version; without it, the law itself."""
    table = read_json(folder / "family.json", MAX_RECORD_BYTES) if (folder / "family.json").exists() else {}
    numbers = f"depth {law.depth:.4g}, width {law.width:.4g}, resolution {law.resolution:.4g} at phi 1"
    return str(table.get("evidence", "")) or f"{numbers}, as settings.json has them"


def _trained(member: FamilyMember, records: list[TrialRecord]) -> TrainedMember:
    results = [record.result for record in records if record.result is not None]
    failures = tuple(record.failure for record in records if record.result is None)
    if not results:
        return TrainedMember(member, None, None, 0, 0, failures)
    interval = accuracy_interval([result.accuracy for result in results])
    return TrainedMember(member, interval.mean, interval.interval95, len(results), results[0].steps, failures)
