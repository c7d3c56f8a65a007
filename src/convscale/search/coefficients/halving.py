"""Successive halving over paired seeds: who goes on from one training length to the next.

The rule is an Optuna pruner, so that a study of it can be read with Optuna's own tools. Optuna holds what was asked
and told; the accuracies come from an Evaluator, which is asked each question once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from convscale.errors import ConfigError, MissingExtraError, TrainingError

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

STORE_TRIES = 4
STORE_WAIT_SECONDS = 0.25  # doubled after each try


def import_optuna() -> Any:
    """Optuna, at the moment it is needed. Raises MissingExtraError."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "study", "a search") from None
    return optuna


def paired_halving(reduction: int = 3, keep: int = 3) -> optuna.pruners.BasePruner:
    """An Optuna pruner for studies in which all trials of a rung report before any is judged: the best
    1/`reduction` of those that reported at a step stay, at least `keep`; ties go to the earlier trial.

    Raises ConfigError for a reduction below 2 or a keep below 1, and MissingExtraError.
    """
    library = import_optuna()
    if reduction < 2 or keep < 1:
        raise ConfigError(f"halving by {reduction}, keeping {keep}, is not allowed", hint="reduction 2 or more, keep 1")

    class PairedHalving(library.pruners.BasePruner):  # type: ignore[misc,name-defined,unused-ignore]
        """Judges a trial against all that reported at its last step."""

        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            step = trial.last_step
            if step is None:
                return False
            values = [
                (-other.intermediate_values[step], other.number)
                for other in study.get_trials(deepcopy=False)
                if step in other.intermediate_values and not math.isnan(other.intermediate_values[step])
            ]
            place = sorted(values).index((-trial.intermediate_values[step], trial.number))
            return place >= survivors(len(values), reduction, keep)

    pruner: optuna.pruners.BasePruner = PairedHalving()
    return pruner


def survivors(candidates: int, reduction: int, keep: int) -> int:
    """How many of `candidates` go on from a rung."""
    return min(candidates, max(keep, math.ceil(candidates / reduction)))


@dataclass(slots=True)
class Halving:
    """The Optuna study of one search: a trial for every candidate, asked at once, told as rungs end."""

    study: optuna.Study
    trials: list[optuna.Trial]
    running: set[int]  # of the candidates, those neither told nor pruned
    states: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def begin(
        name: str,
        candidates: Sequence[dict[str, Any]],
        *,
        reduction: int,
        keep: int,
        storage: str | optuna.storages.BaseStorage | None,
    ) -> Halving:
        """Open the study `name`. One that the store holds already is written anew: the evaluator, which remembers,
        is what the store is rebuilt from. `candidates`: what each trial is labelled with, plain values.

        Raises TrainingError where the store cannot be reached, ConfigError where its address is none.
        """
        optuna = import_optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = paired_halving(reduction, keep)
        errors: tuple[type[Exception], ...] = (ValueError, ImportError, *_address_errors())
        try:
            place = storage if storage is None else stored(lambda: optuna.storages.get_storage(storage))
        except errors as error:
            raise ConfigError(f"storage {storage!r} cannot be used: {error}", hint="sqlite:///FILE, say") from None
        if place is not None and name in stored(lambda: optuna.get_all_study_names(place)):
            stored(lambda: optuna.delete_study(study_name=name, storage=place))
        study = stored(lambda: optuna.create_study(study_name=name, storage=place, direction="maximize", pruner=pruner))
        trials = []
        for labels in candidates:
            trial = stored(study.ask)
            for key, value in labels.items():
                _label(trial, key, value)
            trials.append(trial)
        return Halving(study, trials, set(range(len(trials))))

    def report(self, index: int, value: float, step: int) -> None:
        """The mean accuracy of a candidate at a rung."""
        stored(lambda: self.trials[index].report(value, step))

    def prune(self) -> list[int]:
        """Judge every running candidate on what was reported last; the ones that do not go on."""
        out = [index for index in sorted(self.running) if stored(self.trials[index].should_prune)]
        optuna = import_optuna()
        for index in out:
            self._tell(index, "pruned", None, optuna.trial.TrialState.PRUNED)
        return out

    def fail(self, index: int, reason: str) -> None:
        """Record a candidate as failed."""
        _label(self.trials[index], "failure", reason)
        self._tell(index, "failed", None, import_optuna().trial.TrialState.FAIL)

    def finish(self, index: int, value: float) -> None:
        """Record a finalist's accuracy."""
        self._tell(index, "finalist", value, import_optuna().trial.TrialState.COMPLETE)

    def _tell(self, index: int, name: str, value: float | None, state: Any) -> None:
        number = self.trials[index].number
        stored(lambda: self.study.tell(number, value, state=state, skip_if_finished=True))
        self.states[index] = name
        self.running.discard(index)


def stored(call: Callable[[], T]) -> T:
    """The result of `call` on a store, tried again while the store is away. Raises TrainingError at last."""
    away = (import_optuna().exceptions.StorageInternalError, OSError, *_database_errors())
    for attempt in range(STORE_TRIES):
        try:
            return call()
        except away as error:
            reason = f"{type(error).__name__}: {error}"
        if attempt < STORE_TRIES - 1:
            time.sleep(STORE_WAIT_SECONDS * 2**attempt)
    raise TrainingError(
        f"the store of the search is away after {STORE_TRIES} tries: {reason.splitlines()[0]}",
        hint="what was trained is kept: run the same command again once it is back",
    )


def _database_errors() -> tuple[type[Exception], ...]:
    """What SQLAlchemy raises where a database is away; Optuna lets some of it through."""
    try:
        from sqlalchemy.exc import DBAPIError
    except ImportError:
        return ()
    return (DBAPIError,)


def _address_errors() -> tuple[type[Exception], ...]:
    """What SQLAlchemy raises for an address that is none."""
    try:
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        return ()
    return (ArgumentError,)


def _label(trial: optuna.Trial, key: str, value: Any) -> None:
    stored(lambda: trial.set_user_attr(key, value))
