"""What a person sees while a study runs: a live table with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from convscale.costs import cost
from convscale.runs import Run
from convscale.trials.executor import Attempt
from convscale.trials.trial import Trial, TrialRecord
from convscale.units import format_seconds

SECONDS_BETWEEN_LINES = 10.0
ROWS = 12


class TrialBoard:
    """Counts trials of a study as they end. `quiet` says nothing at all."""

    def __init__(self, trials: Mapping[int, Trial], slots: int, *, quiet: bool) -> None:
        self.work = {number: _work(trial) for number, trial in trials.items()}
        self.slots, self.quiet = max(slots, 1), quiet
        self.ended: list[TrialRecord] = []
        self.running: dict[int, Attempt] = {}
        self.started = self.told = time.monotonic()
        self.live: Any = None

    def __enter__(self) -> TrialBoard:
        if not self.quiet and sys.stderr.isatty() and self.work:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), refresh_per_second=2, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def begin(self, attempt: Attempt) -> None:
        """An attempt runs."""
        self.running[attempt.trial_number] = attempt

    def lose(self, attempt: Attempt, reason: str) -> None:
        """An attempt was lost and another will follow."""
        number = attempt.trial_number
        self.running.pop(number, None)
        self.note(f"trial {number}: attempt {attempt.number} was lost ({reason}); it goes on from what it saved")

    def end(self, record: TrialRecord) -> None:
        """A trial ended."""
        self.ended.append(record)
        self.running.pop(record.number, None)
        if record.result is None:
            self.note(f"trial {record.number} failed: {record.failure}")

    def note(self, text: str) -> None:
        """A line that stays."""
        if self.live is not None:
            self.live.console.print(text, highlight=False, markup=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def show(self) -> None:
        """Show how far it is, when it is time to."""
        now = time.monotonic()
        if self.quiet or (self.live is None and now - self.told < SECONDS_BETWEEN_LINES):
            return
        self.told = now
        if self.live is not None:
            self.live.update(self._table())
        else:
            self.note(self._line())

    def seconds_left(self) -> float | None:
        """Estimated from the work done so far, None before any: of a trial, MACs times images times epochs."""
        done = sum(self.work[record.number] for record in self.ended)
        done += sum(self.work[number] * _share_done(attempt) for number, attempt in self.running.items())
        if not done:
            return None
        return (time.monotonic() - self.started) * (sum(self.work.values()) - done) / done

    def _line(self) -> str:
        left = self.seconds_left()
        failed = sum(record.result is None for record in self.ended)
        return (
            f"{len(self.ended)} of {len(self.work)} trials" + (f", {failed} failed" if failed else "")
            + f", {len(self.running)} running" + ("" if left is None else f"  {format_seconds(left)} left")
        )  # fmt: skip

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(title=self._line(), title_justify="left", box=None)
        for heading in ("trial", "network", "seed", "epoch", "top-1"):
            table.add_column(heading, justify="left" if heading == "network" else "right")
        for number, attempt in sorted(self.running.items())[:ROWS]:
            epochs = Run(attempt.run).metrics()
            table.add_row(
                str(number), attempt.trial.network.name, str(attempt.trial.seed),
                f"{len(epochs)}/{attempt.trial.recipe.epochs}", f"{epochs[-1].top1:.3f}" if epochs else "",
            )  # fmt: skip
        return table


def _work(trial: Trial) -> float:
    return float(cost(trial.network).macs) * trial.recipe.epochs * (trial.data.train_images or 1)


def _share_done(attempt: Attempt) -> float:
    return min(1.0, len(Run(attempt.run).metrics()) / attempt.trial.recipe.epochs)
