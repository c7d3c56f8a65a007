"""What an unfinished study has found so far: a result of the trials that have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from convscale.errors import RunError
from convscale.records import StudyResult, StudySpec
from convscale.studies.collecting import collect
from convscale.studies.kept_design import Trials, read_design
from convscale.studies.rates import stamped
from convscale.trials.folders import StudyFolder
from convscale.trials.status import ended
from convscale.trials.trial import TrialRecord


def result_so_far(study: StudyFolder, spec: StudySpec) -> StudyResult:
    """The result of the trials that have ended; reads only. Raises RunError where none has, and as `read_design`."""
    designed, numbers = read_design(study, spec)
    records = {
        folder.number: stamped(record, folder.read(), designed) if designed.rates else record
        for folder, record in ended(study)
    }
    found = {place: records[number] for place, number in numbers.items() if number in records}
    if not found:
        raise RunError(f"{study.path}: no trial has ended", hint=f"convscale study status {study.path}")
    return collect(designed, found)


@dataclass(slots=True)
class SeedWatch:
    """Calls `write` whenever all trials of another seed have ended, but for the last, after which the study is done."""

    trials: Trials
    write: Callable[[], object]
    seeds: dict[int, set[str]] = field(init=False, default_factory=dict)
    done: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        for (_, _, seed), trial in self.trials.items():
            self.seeds.setdefault(seed, set()).add(trial.key)

    def __call__(self, records: Mapping[str, TrialRecord]) -> None:
        """Look at the records so far, by key."""
        done = sum(keys <= records.keys() for keys in self.seeds.values())
        if self.done < done < len(self.seeds):
            self.done = done
            self.write()
