"""What people see while a study runs: a live table with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from convscale import terminal
from convscale.costs import cost
from convscale.progress import time_left, with_bar
from convscale.report.tables import Column, Table, terminal_lines, text_column
from convscale.runs import Run
from convscale.trials.executor import Attempt
from convscale.trials.machine_change import note_of
from convscale.trials.trial import Trial, TrialRecord

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.5
ROWS = 12  # of trials that run


class TrialBoard:
    """Counts trials of a study as they end. `quiet` prints nothing at all."""

    def __init__(self, trials: Mapping[int, Trial], slots: int, *, quiet: bool) -> None:
        self.work = {number: _work(trial) for number, trial in trials.items()}
        self.slots, self.quiet = max(slots, 1), quiet
        self.ended: list[TrialRecord] = []
        self.running: dict[int, Attempt] = {}
        self.anew: set[Path] = set()
        self.live = not quiet and bool(self.work) and terminal.takes_codes(sys.stderr)
        self.started = self.last_shown = time.monotonic()

    def __enter__(self) -> TrialBoard:
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            terminal.live.clear()

    def begin(self, attempt: Attempt) -> None:
        """An attempt has started."""
        self.running[attempt.trial_number] = attempt

    def lose(self, attempt: Attempt, reason: str) -> None:
        """An attempt was lost and another will follow."""
        number = attempt.trial_number
        self.running.pop(number, None)
        self.note(f"trial {number}: attempt {attempt.number} was lost ({reason}); it resumes from what it saved")

    def end(self, record: TrialRecord) -> None:
        """A trial ended."""
        self._note_anew()
        self.ended.append(record)
        self.running.pop(record.number, None)
        if record.result is None:
            self.note(f"trial {record.number} failed: {record.failure}")

    def _note_anew(self) -> None:
        """Say once of each attempt that began anew, and why."""
        for number, attempt in self.running.items():
            file = note_of(attempt.run)
            if attempt.run not in self.anew and file.exists():
                self.anew.add(attempt.run)
                self.note(f"trial {number} begins anew on this machine: {file.read_text(encoding='utf-8')}")

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            terminal.live.keep(terminal.fitted(text, terminal.width(sys.stderr)))

    def show(self) -> None:
        """Show the progress, where it is due."""
        now = time.monotonic()
        between = SECONDS_BETWEEN_DRAWINGS if self.live else SECONDS_BETWEEN_LINES
        if self.quiet or now - self.last_shown < between:
            return
        self.last_shown = now
        self._note_anew()
        if self.live:
            columns, rows = terminal.size(sys.stderr)
            table = self._table(min(ROWS, rows - 3))
            terminal.live.show(self._line(bar=True), *terminal_lines(table, columns - 1))
        else:
            self.note(self._line())

    def seconds_left(self) -> float | None:
        """Estimated from the work done so far, None before any; a trial's work is MACs times images times epochs."""
        done = self._done()
        return (time.monotonic() - self.started) * (sum(self.work.values()) - done) / done if done else None

    def _done(self) -> float:
        ended = sum(self.work[record.number] for record in self.ended)
        return ended + sum(self.work[number] * _share_done(attempt) for number, attempt in self.running.items())

    def _line(self, *, bar: bool = False) -> str:
        failed = sum(record.result is None for record in self.ended)
        counts = (
            f"{len(self.ended)} of {len(self.work)} trials" + (f", {failed} failed" if failed else "")
            + f", {len(self.running)} running"
        )  # fmt: skip
        left = time_left(self.seconds_left())
        if bar:
            return with_bar(counts, self._done() / max(sum(self.work.values()), 1e-9), (left,))
        return "  ".join(filter(None, (counts, left)))

    def _table(self, rows: int) -> Table:
        """The trials that run."""
        shown = []
        for number, attempt in sorted(self.running.items())[:rows]:
            trial, epochs = attempt.trial, Run(attempt.run).metrics()
            epoch = f"{len(epochs)}/{trial.recipe.epochs}"
            shown.append((number, trial.network.name, trial.seed, epoch, epochs[-1].top1 if epochs else None))
        return Table(
            (Column("trial"), text_column("network", wrap=True), Column("seed"), Column("epoch"),
             Column("top-1", "{:.3f}".format)),
            shown,
        )  # fmt: skip


def _work(trial: Trial) -> float:
    return float(cost(trial.network).macs) * trial.recipe.epochs * (trial.data.train_images or 1)


def _share_done(attempt: Attempt) -> float:
    return min(1.0, len(Run(attempt.run).metrics()) / attempt.trial.recipe.epochs)
