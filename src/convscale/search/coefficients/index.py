"""A search in Optuna's storage, one trial per candidate, for its dashboards: written once, when the search is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convscale.optuna_storage import import_optuna, open_storage, retried
from convscale.records import CoefficientSearch, SearchedCandidate

if TYPE_CHECKING:
    import optuna

STATES = {"finalist": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


class SearchIndex:
    """The Optuna study `name` in `storage`, an address or a storage object of Optuna's.

    Raises ConfigError for an invalid address, RunError where nothing answers there for ten seconds, and
    MissingExtraError without Optuna: at once, so that no search is run for an index that cannot be written.
    """

    def __init__(self, storage: str | optuna.storages.BaseStorage, name: str) -> None:
        import_optuna("storage=")
        self.name, self.where = name, str(storage)
        self.hint = "the search itself needs no storage; with the same evaluator it can be repeated"
        self.storage = retried(lambda: open_storage(storage), self.where, self.hint)

    def write(self, found: CoefficientSearch) -> None:
        """Write how each candidate ended, replacing what a search of the same name left. Raises RunError."""
        retried(lambda: self._write(found), self.where, self.hint)

    def _write(self, found: CoefficientSearch) -> None:
        import optuna

        if self.name in optuna.get_all_study_names(self.storage):
            optuna.delete_study(study_name=self.name, storage=self.storage)
        study = optuna.create_study(study_name=self.name, storage=self.storage, direction="maximize")
        study.add_trials([_trial(one) for one in found.candidates])


def _trial(one: SearchedCandidate) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[STATES[one.state]],
        value=one.accuracy if one.state == "finalist" else None,
        intermediate_values={steps: sum(by.values()) / len(by) for steps, by in one.accuracies.items()},
        user_attrs=_labels(one),
    )


def _labels(one: SearchedCandidate) -> dict[str, Any]:
    candidate, scaling = one.candidate, one.candidate.scaling
    labels: dict[str, Any] = {
        "shares": list(candidate.shares),
        "actual_shares": list(candidate.actual),
        "scaling": [scaling.depth, scaling.width, scaling.resolution],
        "network": candidate.network.name,
        "macs": candidate.macs,
    }
    return labels | ({"failure": one.failure} if one.failure else {})
