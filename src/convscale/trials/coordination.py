"""The one process that owns a study: hands out trials, notices what is lost, records what ends."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convscale.errors import ConfigError
from convscale.interrupts import Interrupts
from convscale.trials.executor import Attempt, Ended, Executor
from convscale.trials.folders import StudyFolder, TrialFolder, hold_study
from convscale.trials.live_board import TrialBoard
from convscale.trials.store import Store
from convscale.trials.trial import Trial, TrialRecord, TrialResult

WAIT_SECONDS = 1.0


def run_trials(
    folder: Path,
    trials: Sequence[Trial],
    executor: Executor,
    *,
    storage: str | None = None,
    max_attempts: int = 3,
    quiet: bool = False,
    on_end: Callable[[Mapping[str, TrialRecord]], object] = lambda records: None,
) -> list[TrialRecord]:
    """Run those `trials` that the study in `folder` has no record of, and return the records in the order of `trials`.

    Trials with equal keys are one. A trial whose worker is lost is handed out again, `max_attempts` times in all, and
    resumes from its last checkpoint; one that fails, or whose accuracy is not finite, is recorded as failed, and the
    study continues. storage: an Optuna address instead of study.sqlite. on_end: called with the records so far, by
    key, whenever some have been added and others are running. The executor is left open.

    Raises RunError where another process owns the folder or the store does not answer, TrainingStopped after a signal:
    what ended is on record and the rest saved; the same call resumes. ConfigError for max_attempts below 1.
    """
    if max_attempts < 1:
        raise ConfigError(f"max_attempts {max_attempts} is not allowed", hint="1 or more")
    with hold_study(folder) as study, Interrupts() as interrupts:
        folders = study.folders_of(trials)
        records = {key: record for key, one in folders.items() if (record := one.record()) is not None}
        store = Store(study, storage)
        store.add_missing(record for one in study.trials() if (record := one.record()) is not None)
        asked = {trial.key: trial for trial in trials}
        waiting = [(one, asked[key]) for key, one in folders.items() if key not in records]
        with TrialBoard({one.number: trial for one, trial in waiting}, executor.slots, quiet=quiet) as board:
            _Coordinator(study, executor, store, board, interrupts, max_attempts, records, on_end).run(waiting)
    return [records[trial.key] for trial in trials]


@dataclass(slots=True)
class _Coordinator:
    study: StudyFolder
    executor: Executor
    store: Store
    board: TrialBoard
    interrupts: Interrupts
    max_attempts: int
    records: dict[str, TrialRecord]  # by key
    on_end: Callable[[Mapping[str, TrialRecord]], object]

    def run(self, todo: Sequence[tuple[TrialFolder, Trial]]) -> None:
        """Run them all, and add their records."""
        waiting = deque(todo)
        running: dict[int, tuple[TrialFolder, Attempt]] = {}
        lost: dict[int, int] = {}
        known = len(self.records)
        try:
            while waiting or running:
                while waiting and len(running) < self.executor.slots and not self.interrupts.received:
                    folder, trial = waiting.popleft()
                    running[folder.number] = folder, self._start(folder, trial)
                self._leave_if_asked()
                if len(self.records) > known:  # now, while others run in the place of those that ended
                    known = len(self.records)
                    self.on_end(self.records)
                for ended in self.executor.wait(WAIT_SECONDS):
                    number = ended.attempt.trial_number
                    if number not in running or running[number][1] is not ended.attempt:
                        continue  # an attempt that was given up: it no longer counts
                    folder, attempt = running.pop(number)
                    if ended.how == "lost" and lost.setdefault(number, 0) + 1 < self.max_attempts:
                        lost[number] += 1
                        self.board.lose(attempt, ended.reason)
                        waiting.appendleft((folder, attempt.trial))
                    else:
                        self.records[attempt.trial.key] = self._end(folder, ended)
                self.board.show()
            self._leave_if_asked()  # where the last trial ended meanwhile: the caller may have more to run
        except BaseException:
            self.executor.close()
            raise

    def _start(self, folder: TrialFolder, trial: Trial) -> Attempt:
        self.store.ask(trial)
        number = folder.begin_attempt()
        attempt = Attempt(folder.number, number, trial, folder.attempt(number))
        self.executor.start(attempt)
        self.board.begin(attempt)
        return attempt

    def _leave_if_asked(self) -> None:
        if self.interrupts.received:
            self.executor.close()
            raise self.interrupts.stopped(
                f"with {len(self.board.ended)} of {len(self.board.work)} trials done",
                f"convscale study resume {self.study.path}",
            )

    def _end(self, folder: TrialFolder, ended: Ended) -> TrialRecord:
        """Write the record, then the store."""
        attempt, result, failure = ended.attempt, ended.result, ended.reason
        if ended.how == "lost":
            failure = f"lost {self.max_attempts} times, most recently: {ended.reason}"
        elif result is not None and not math.isfinite(result.accuracy):
            failure, result = f"the accuracy is {result.accuracy}", None
        record = TrialRecord(
            key=attempt.trial.key,
            number=attempt.trial_number,
            result=_finite(result) if ended.how == "finished" else None,
            failure=failure,
            attempts=attempt.number,
            run=str(attempt.run.relative_to(self.study.path)),
        )
        folder.write_record(record)
        self.store.tell(record)
        self.board.end(record)
        return record


def _finite(result: TrialResult | None) -> TrialResult | None:
    """The result with an interval that JSON can hold."""
    if result is None or all(math.isfinite(end) for end in result.interval95):
        return result
    return replace(result, interval95=(result.accuracy, result.accuracy))
