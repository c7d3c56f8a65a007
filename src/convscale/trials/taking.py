"""Finished trials that come from other folders, and go to others: checked, counted, and never in place of a result that
is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from convscale.errors import DataError, InputError
from convscale.progress import print_note
from convscale.records import DataChoice
from convscale.trials.finished import FinishedTrial, Line, read_finished, write_finished
from convscale.trials.folders import StudyFolder, TrialFolder
from convscale.trials.status import ended, require_study
from convscale.trials.training_work import choose_images
from convscale.trials.trial import Trial, TrialRecord
from convscale.units import format_number


class FinishedTrials:
    """The finished trials of `files`, for the study that asks for them. Raises as `read_finished` does."""

    def __init__(self, files: Sequence[str | Path] = (), *, quiet: bool = False) -> None:
        self.files, self.quiet = tuple(map(Path, files)), quiet
        self.found = read_finished(files)
        self.taken: set[str] = set()
        self.there: set[str] = set()

    def take(self, study: StudyFolder, trials: Iterable[Trial]) -> None:
        """Record those of `trials` that are found and that the study has no result of.

        A result that is there and differs stays, and is reported. Raises DataError for a trial on other images.
        """
        if not self.found:
            return
        asked = {trial.key: trial for trial in trials}
        new = self.found.keys() - self.taken - self.there & asked.keys()
        for key in new:
            _require_same_images(*self.found[key], asked[key])
        for key, folder in study.folders_of(asked.values()).items():
            if key in new:
                self._take(folder, asked[key])

    def _take(self, folder: TrialFolder, trial: Trial) -> None:
        one, where = self.found[trial.key]
        own = folder.record()
        if own is not None and own.result is not None:
            self.there.add(trial.key)
            if own.result != one.result:
                self._say(
                    f"trial {folder.number} keeps its own result, accuracy {own.result.accuracy:.4f}: {where}: {one} "
                    f"has {one.result.accuracy:.4f}"
                )
            return
        record = TrialRecord(
            key=trial.key, number=folder.number, result=one.result, attempts=len(folder.attempts()), run="",
            taken_from=where.file.name,
        )  # fmt: skip
        folder.write_record(record)
        self.taken.add(trial.key)

    def report(self) -> None:
        """Say how many were taken, and how many belong to no trial of the study; once all of it have been asked for."""
        if not self.files:
            return
        foreign = len(self.found) - len(self.taken) - len(self.there)
        names = ", ".join(file.name for file in self.files)
        self._say(
            f"{names}: {format_number(len(self.taken), 'finished trial')} taken"
            + f", {len(self.there):,} already here" * bool(self.there)
            + f", {foreign:,} of no trial of this study"
        )

    def _say(self, text: str) -> None:
        if not self.quiet:
            print_note(text)


def export_finished(folder: str | Path, file: str | Path) -> tuple[int, int]:
    """Write the finished trials of the study in `folder` to `file`, beside those that it holds already; how many they
    are, and how many the file has. Raises RunError where there is no study, and as `write_finished` does."""
    require_study(Path(folder))
    finished = {}
    for one, record in ended(StudyFolder(Path(folder))):
        if record.result is not None:
            trial = one.read()
            finished[trial.key] = FinishedTrial(
                key=trial.key, fingerprint=_fingerprint(trial.data), seed=trial.seed, result=record.result,
                network=trial.network, recipe=trial.recipe, data=trial.data,
            )  # fmt: skip
    return len(finished), write_finished(Path(file), finished)


@lru_cache(maxsize=8)
def _fingerprint(data: DataChoice) -> str:
    """Of the images that a trial is trained on; "" where they are not at hand."""
    try:
        return choose_images(data).record().fingerprint
    except InputError:
        return ""


def _require_same_images(one: FinishedTrial, where: Line, trial: Trial) -> None:
    here = _fingerprint(trial.data)
    if here and one.fingerprint and here != one.fingerprint:
        raise DataError(
            f"{where}: {one} was trained on other images than {trial.data.source} has here: other names, labels or "
            "classes",
            hint="leave that file out, or restore the images",
        )
