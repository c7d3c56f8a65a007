"""Finished trials that come from other folders, and go to others: checked, counted, and never in place of a result that
is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from convscale.progress import print_note
from convscale.trials.finished import FinishedTrial, Line, read_finished, write_finished
from convscale.trials.folders import StudyFolder, TrialFolder
from convscale.trials.status import ended, require_study
from convscale.trials.trial import Trial, TrialRecord
from convscale.units import format_number


class FinishedTrials:
    """The finished trials of `files`, for the study that asks for them. Raises as `read_finished` does."""

    def __init__(self, files: Sequence[str | Path] = (), *, quiet: bool = False) -> None:
        self.files, self.quiet = tuple(map(Path, files)), quiet
        self.found = read_finished(files)
        self.taken: set[str] = set()
        self.there: set[str] = set()
        self.elsewhere: set[str] = set()  # on other images

    def missing_of(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those of `trials` that are not among the finished ones."""
        return [trial for trial in trials if self.found.keys().isdisjoint((trial.key, trial.key_by_source))]

    def take(self, study: StudyFolder, trials: Iterable[Trial]) -> None:
        """Record those of `trials` that are found and that the study has no result of.

        A result that is there and differs stays, and is reported.
        """
        if not self.found:
            return
        asked, left = {trial.key: trial for trial in trials}, self._left()
        for key, folder in study.folders_of(asked.values()).items():
            for one in dict.fromkeys((key, asked[key].key_by_source)):
                if one in left:
                    self._take(folder, asked[key], *self.found[one])
        self._look_for_other_images(asked)

    def _left(self) -> set[str]:
        return self.found.keys() - self.taken - self.there

    def _take(self, folder: TrialFolder, trial: Trial, one: FinishedTrial, where: Line) -> None:
        own = folder.record()
        if own is not None and own.result is not None:
            self.there.add(one.key)
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
        self.taken.add(one.key)

    def _look_for_other_images(self, asked: Mapping[str, Trial]) -> None:
        """Note the trials that would be of this study, were it not for their images."""
        images = {trial.data: trial.images for trial in asked.values()}
        for key in self._left():
            trial = self.found[key][0].trial
            if any(replace(trial, data=data, images=own).key in asked for data, own in images.items()):
                self.elsewhere.add(key)

    def report(self) -> None:
        """Say how many were taken, and how many belong to no trial of the study; once all of it have been asked for."""
        if not self.files:
            return
        names = ", ".join(file.name for file in self.files)
        self._say(
            f"{names}: {format_number(len(self.taken), 'finished trial')} taken"
            + f", {len(self.there):,} already here" * bool(self.there)
            + f", {len(self._left()):,} of no trial of this study"
            + f" ({len(self.elsewhere & self._left()):,} on other images than are here)" * bool(self.elsewhere)
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
            finished[trial.key] = FinishedTrial.of(trial, record.result)
    return len(finished), write_finished(Path(file), finished)
