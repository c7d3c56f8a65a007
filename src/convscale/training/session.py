"""A session: one sitting at a job, from its newest checkpoint to its end or to a signal.

Between any two steps it can be left: the state is saved, its records are written, and `resume` continues from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from convscale.data.images import Stream, steps_per_epoch
from convscale.errors import DataError, TrainingStopped
from convscale.interrupts import Interrupts
from convscale.nn import save_weights
from convscale.nn.processes import Processes
from convscale.progress import Progress, images_per_second
from convscale.records import Doing, EpochRecord
from convscale.runs import BEST_WEIGHTS, ProgressFile, ProgressRecord
from convscale.schema import to_table
from convscale.training.board import open_board, show_epoch
from convscale.training.checkpoint import Checkpoint, checkpoint_name, remove_newer, save_checkpoint
from convscale.training.job import Job
from convscale.training.state import TrainingState

PARTS = ("data", "forward", "backward", "optimizer")  # of a step's time


class Session:
    """What is kept and shown of a job while it is carried out, in one process of `processes`. It continues from the
    checkpoint `found`, where there is one."""

    def __init__(
        self,
        job: Job,
        state: TrainingState,
        processes: Processes,
        interrupts: Interrupts,
        found: Checkpoint | None = None,
    ) -> None:
        self.job, self.state, self.processes, self.interrupts = job, state, processes, interrupts
        self.saved, self.save_seconds = "", 0.0
        if found is not None:
            self.go_to(found)  # first: what follows counts from there
        self.steps = steps_per_epoch(job.train, job.recipe.batch, processes.world)
        self.progress = Progress(
            self.steps * job.recipe.epochs,
            done_steps=state.position.total_steps,
            quiet=job.quiet or not processes.first,
        )
        self.doing: Doing = "training"
        self.counting = self.progress  # what is counted now: steps, or images whose features are computed
        folders = [job.run.path, *([job.part_of.path] if job.part_of else [])] if processes.first else []
        self.files = [ProgressFile(folder, self._note_no_progress) for folder in folders]
        self.board = open_board(job.run, job.settings, state.position.total_steps) if processes.first else None
        self.saved_at = self.clock = time.monotonic()

    def pause(self, settle: Callable[[], None] = lambda: None, where: str = "") -> None:
        """Between two steps, or at `where`: save when it is due, leave after a signal; `settle` first waits for a step
        in flight."""
        self._count_seconds()
        self.show_progress()
        due = time.monotonic() - self.saved_at >= self.job.settings.checkpoint_seconds
        signal, due = self.processes.agree(self.interrupts.received, due)
        if due or signal:
            settle()
            self.save()
        if signal:
            self.interrupts.received = signal
            position = self.state.position
            where = where or f"in epoch {position.epoch + 1} after step {position.step} of {self.steps}"
            raise self.interrupts.stopped(where, self.job.resumed_by)

    def save(self) -> None:
        """Write a checkpoint of the state as it is, unless it is written already."""
        position, train = self.state.position, self.job.train
        name = checkpoint_name(position.total_steps, evaluated=position.step == 0)
        if isinstance(train, Stream):
            position.stream = train.state_at(position.step * self.job.recipe.batch // self.processes.world)
        started = time.monotonic()
        if self.saved != name:
            self.processes.fail_together(lambda: self._write_checkpoint(name))
            self.save_seconds = time.monotonic() - started
        self.saved, self.saved_at = name, time.monotonic()

    def _write_checkpoint(self, name: str) -> None:
        if self.processes.first:
            job = self.job
            state = {
                "position": self.state.table(),
                "recipe": to_table(job.recipe, complete=True),
                "network": to_table(job.network, complete=True),
            }
            save_checkpoint(job.run.checkpoints, name, self.state.tensors(), state)

    def go_to(self, found: Checkpoint) -> None:
        """Load a checkpoint into the state, and remove what is newer: damaged checkpoints, metrics of later epochs."""
        run = self.job.run
        self.processes.fail_together(
            lambda: self.state.restore(found.tensors, found.state["position"], str(found.path))
        )
        self.saved = found.path.name
        if self.processes.first:
            run.keep_metrics(self.state.position.epoch)
            remove_newer(found.path)

    def keep_record(self, record: EpochRecord) -> None:
        """Write the outcome of an epoch; the best weights so far, a checkpoint, a line of progress."""
        position = self.state.position
        self._keep_best(record)
        position.next_epoch()
        if self.processes.first:
            self.job.run.append_metrics(record)
            show_epoch(self.board, record)
        self.save()
        self._show(record)

    def _keep_best(self, record: EpochRecord) -> None:
        """Note the best epoch so far, and keep its weights where epochs compete."""
        position, accuracy, top1 = self.state.position, record.accuracy(self.job.dataset.metric), record.top1
        if accuracy is None or top1 is None:
            return
        if accuracy > position.best_accuracy:
            position.improved_epoch = record.epoch
        if accuracy >= position.best_accuracy:  # of equals the one that was trained longest
            position.best_accuracy, position.best_top1, position.best_epoch = accuracy, top1, record.epoch
            if self.processes.first and self.job.evaluates_each_epoch:
                save_weights(self.job.run.path / BEST_WEIGHTS, self.state.evaluated, self.job.header)

    def _show(self, record: EpochRecord) -> None:
        parts = ""
        if self.job.settings.step_times:
            each = 1000 / self.steps
            parts = "  ms per step: " + ", ".join(
                f"{part} {getattr(record, f'{part}_seconds') * each:.1f}" for part in PARTS
            )
        loss = "-" if record.train_loss is None else f"{record.train_loss:.4f}"
        images = "held-out" if self.job.validation is None else "validation"
        accuracy = "" if record.top1 is None else f"{images} top-1 {record.top1:.4f}  "
        self.progress.line(
            f"epoch {record.epoch}/{self.job.recipe.epochs}  loss {loss}  "
            f"{accuracy}{images_per_second(record.images_per_second, 1)}{parts}"
        )

    @contextmanager
    def following(self) -> Iterator[None]:
        """While entered, progress.json shows the progress; afterwards, how it was left."""
        self.show_progress(now=True)
        try:
            yield
        except (TrainingStopped, KeyboardInterrupt) as error:
            self._leave("interrupted", str(error))
            raise
        except BaseException as error:
            self._leave("failed", str(error) or type(error).__name__)
            raise
        self._leave("finished")

    def _leave(self, doing: Doing, reason: str = "") -> None:
        self.doing = doing
        self.show_progress(reason, now=True)

    def show_progress(self, reason: str = "", *, now: bool = False) -> None:
        """Write progress.json when it is due, or `now`; for a search also in the folder of the run that it is for."""
        for index, file in enumerate(self.files):
            if now or file.due:
                file.write(self._record("searching" if index else self.doing, reason))

    def _record(self, doing: Doing, reason: str) -> ProgressRecord:
        position, counting, epochs = self.state.position, self.counting, self.job.recipe.epochs
        seconds = sum(position.epoch_seconds.values())
        begun = counting.done_steps > counting.steps_before
        return ProgressRecord(
            step=counting.done_steps,
            total_steps=counting.total_steps,
            epoch=min(position.epoch + 1, epochs),
            epochs=epochs,
            seconds_left=counting.seconds_left if begun else None,
            images_per_second=position.counted_steps * self.job.recipe.batch / seconds if seconds else None,
            updated=time.time(),
            pid=os.getpid(),
            state=doing,
            reason=reason,
        )

    def _note_no_progress(self, reason: str) -> None:
        self.progress.note(reason)
        with suppress(OSError):
            self.job.run.append_event(reason)

    def note_unreadable(self, missing: Sequence[tuple[str, str]]) -> None:
        """Count images that could not be read, list each once, and stop where they are too many."""
        position, images = self.state.position, len(self.job.train)
        for name, reason in self.processes.gather(missing):
            if name in position.unreadable:
                continue
            position.unreadable[name] = reason
            self.event(f"unreadable, skipped: {reason}", image=name)
            if len(position.unreadable) > self.job.recipe.max_unreadable * images:
                raise DataError(
                    f"{len(position.unreadable)} of {images:,} training images cannot be read, more than "
                    f"{self.job.recipe.max_unreadable:.1%}; the last: {reason}",
                    hint="convscale data check lists them all; or --set max_unreadable=...",
                )

    def event(self, text: str, **facts: object) -> None:
        """Report something a person should know, in events.jsonl and on stderr."""
        if self.processes.first:
            self.job.run.append_event(text, **facts)
            self.progress.note(text)

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.state.position.run_seconds += now - self.clock
        self.clock = now
