"""The Optuna store beside the records: an index of the trials, for Optuna's dashboards and tools.

The records of the folder are the truth. The store follows them, and is rebuilt from them if damaged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from convscale.optuna_storage import import_optuna, open_storage, retried
from convscale.progress import print_note
from convscale.trials.folders import StudyFolder, move_aside
from convscale.trials.trial import Trial, TrialRecord

if TYPE_CHECKING:
    import optuna

KEY = "convscale_key"

T = TypeVar("T")


class Store:
    """The study in its store. `address` is any Optuna storage address; without it, study.sqlite in the folder.

    Raises RunError where the store does not answer for ten seconds, ConfigError where `address` is not valid,
    MissingExtraError without Optuna.
    """

    def __init__(self, folder: StudyFolder, address: str | None = None) -> None:
        import_optuna("a study")
        self.folder, self.address = folder, address
        self.asked: dict[str, optuna.Trial] = {}
        if address is None and folder.database.exists() and not _is_sound(folder):
            aside = move_aside(folder.database)
            print_note(f"{folder.database} was damaged: moved to {aside.name}, rebuilding it from the records")
        self.study = self._retried(self._open)
        self.known: set[tuple[str, bool]] = set()  # keys of trials that ended, and whether with a result
        self._retried(self._read)

    def _open(self) -> optuna.Study:
        import optuna

        return optuna.create_study(
            storage=open_storage(self.address or f"sqlite:///{self.folder.database}"),
            study_name=self.folder.name(),
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )

    def _read(self) -> None:
        """Note which trials the store has; those that a coordinator left running count as failed there."""
        import optuna

        for trial in self.study.get_trials(deepcopy=False):
            if trial.state == optuna.trial.TrialState.RUNNING:
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            elif key := trial.user_attrs.get(f"{KEY}_ended"):
                self.known.add((key, trial.state == optuna.trial.TrialState.COMPLETE))

    def ask(self, trial: Trial) -> None:
        """Enter a trial that begins, once for all its attempts."""
        if trial.key not in self.asked:
            self.asked[trial.key] = self._retried(lambda: self._ask(trial))

    def _ask(self, trial: Trial) -> optuna.Trial:
        entry = self.study.ask()
        for name, attribute in ({KEY: trial.key} | _labels(trial)).items():
            entry.set_user_attr(name, attribute)
        return entry

    def tell(self, record: TrialRecord) -> None:
        """Enter how a trial ended, once; a failed one is never complete, a result may follow it."""
        ended = record.key, record.result is not None
        if ended not in self.known:
            self._retried(lambda: self._tell(record))
            self.asked.pop(record.key, None)
            self.known.add(ended)

    def _tell(self, record: TrialRecord) -> None:
        import optuna

        states = optuna.trial.TrialState
        attributes: dict[str, Any] = {f"{KEY}_ended": record.key, "trial": record.number, "run": record.run}
        attributes |= {"failure": record.failure} if record.failure else {}
        state = states.COMPLETE if record.result else states.FAIL
        value = record.result.accuracy if record.result else None
        entry = self.asked.get(record.key)
        if entry is None:
            attributes |= _labels(self.folder.trial(record.number).read())
            self.study.add_trial(optuna.trial.create_trial(state=state, value=value, user_attrs=attributes))
            return
        for name, attribute in attributes.items():
            entry.set_user_attr(name, attribute)
        self.study.tell(entry, value, state=state, skip_if_finished=True)

    def add_missing(self, records: Iterable[TrialRecord]) -> None:
        """Enter the records that the store does not have."""
        for record in records:
            self.tell(record)

    def _retried(self, action: Callable[[], T]) -> T:
        where = self.address or str(self.folder.database)
        hint = f"all trials that ended are on record; once it answers again: convscale study resume {self.folder.path}"
        return retried(action, where, hint)


def _labels(trial: Trial) -> dict[str, Any]:
    """What people look for in a dashboard."""
    return {"network": trial.network.name, "epochs": trial.recipe.epochs, "seed": trial.seed}


def _is_sound(folder: StudyFolder) -> bool:
    connection = sqlite3.connect(folder.database)
    try:
        row = connection.execute("PRAGMA integrity_check").fetchone()
        return bool(row and row[0] == "ok")
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.close()
