"""The loop: epochs of steps, an evaluation after each, checkpoints between, and what is done when something fails."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import closing

from convscale.data import ImageCollection
from convscale.data.images import Stream
from convscale.data.loader import Batch, steps_per_epoch, training_batches
from convscale.errors import DataError, NotFiniteError, RunError
from convscale.evaluation import Measured, measure
from convscale.nn import load_weights, save_weights
from convscale.processes import Processes
from convscale.progress import Progress
from convscale.records import EpochRecord
from convscale.runs import BEST_WEIGHTS
from convscale.schema import to_table
from convscale.training.board import open_board, show_epoch
from convscale.training.checkpoint import (
    Checkpoint,
    checkpoint_name,
    load_newest,
    remove_newer,
    save_checkpoint,
)
from convscale.training.interrupts import Interrupts
from convscale.training.job import Job
from convscale.training.optimizer import is_norm
from convscale.training.setup import train_classifier_alone
from convscale.training.state import TrainingState
from convscale.training.step import Outcome, Stepper
from convscale.units import format_count, format_seconds

PARTS = ("data", "forward", "backward", "optimizer")
PREDICTED_AFTER_STEPS = 12
EVALUATION_SHARE = 0.8  # of a forward pass in training, which also keeps what the backward pass needs
ROLLBACKS = 3
SKIPPED_IN_A_ROW = 10


class _RolledBack(Exception):
    """The state is that of an earlier step: the epoch's batches are begun anew."""


class Loop:
    """Carries a job from the state that it is given to its end, or to a signal."""

    def __init__(self, job: Job, state: TrainingState, processes: Processes, interrupts: Interrupts) -> None:
        self.job, self.state, self.processes, self.interrupts = job, state, processes, interrupts
        self.steps = steps_per_epoch(job.train, job.recipe.batch, processes.world)
        self.stepper = Stepper(job, state, self.steps, processes)
        self.progress = Progress(
            self.steps * job.recipe.epochs,
            done_steps=state.position.total_steps,
            quiet=job.quiet or not processes.first,
        )
        self.board = open_board(job.run, job.settings, state.position.total_steps) if processes.first else None
        self.saved, self.save_seconds = "", 0.0
        self.saved_at = self.clock = time.monotonic()
        # What the prediction is made from, and nothing after it.
        self.recent_steps: list[dict[str, float]] = []
        self.recent_data: list[float] = []
        self.skipped_in_a_row = 0

    def run(self) -> Measured:
        """All epochs that are left; the evaluation after the last."""
        measured = None
        while self.state.position.epoch < self.job.recipe.epochs and not self._enough():
            try:
                self._train_epoch()
                measured = self._evaluate(self.job.watched)
                self._finish_epoch(measured)
            except _RolledBack:
                continue
        if self.job.validation is None:
            return measured or self._evaluate(self.job.dataset.test)
        self._take_best()
        return self._evaluate(self.job.dataset.test)

    def _enough(self) -> bool:
        """Whether `patience` epochs have passed without a better accuracy."""
        position, patience = self.state.position, self.job.recipe.patience
        return 0 < patience <= position.epoch - position.best_epoch

    def _take_best(self) -> None:
        """The weights of the best epoch, which the validation images chose, are those that are kept."""
        position, epochs = self.state.position, self.job.recipe.epochs
        best, _ = self.processes.together(lambda: load_weights(self.job.run.path / BEST_WEIGHTS))
        self.state.evaluated.load_state_dict(best.state_dict())
        stopped = f"stopped after {position.epoch} of {epochs} epochs; " if position.epoch < epochs else ""
        self._event(f"{stopped}epoch {position.best_epoch} was best on the validation images", top1=position.best_top1)

    def _train_epoch(self) -> None:
        """The steps of the epoch that are left."""
        self._begin_phase()
        with closing(self._batches()) as batches:
            for batch in batches:
                self._take(batch)

    def _begin_phase(self) -> None:
        """Set what learns in this epoch: the classifier alone, or all, with batch norm as the recipe says."""
        recipe, model = self.job.recipe, self.state.model
        warming_up = self.state.position.epoch < recipe.head_epochs
        if recipe.trainable == "all" and recipe.head_epochs:
            learning = len(self.stepper.trainable)
            model.requires_grad_(True)
            if warming_up:
                train_classifier_alone(model)
            if sum(parameter.requires_grad for parameter in model.parameters()) != learning:
                self.stepper = Stepper(self.job, self.state, self.steps, self.processes)
        alone = warming_up or recipe.trainable == "head"
        model.train(not alone)
        model.head.get_submodule("classifier").train()
        if recipe.norm_statistics == "frozen":
            for module in filter(is_norm, model.modules()):
                module.eval()

    def _take(self, batch: Batch) -> None:
        """One step on a batch, or what is done in its place; then what is due between two steps."""
        self.note_unreadable(batch.missing)
        position = self.state.position
        nothing = self.processes.any(not len(batch.labels)) if batch.missing or self.processes.world > 1 else False
        if nothing:
            self._event("no image of a batch could be read: its step is left out", step=position.total_steps)
        elif position.total_steps not in position.skipped_steps:
            self._step(batch)
        position.step += 1
        position.total_steps += 1
        position.training_images += self.job.recipe.batch
        self._show_step()
        self.pause()

    def _batches(self) -> Generator[Batch, None, None]:
        """The batches of the epoch from its next step on, with the time that each was waited for."""
        job, position = self.job, self.state.position
        loading = training_batches(
            job.train, job.preprocessing, job.recipe.augmentation, job.recipe.batch,
            seed=position.seed, epoch=position.epoch, workers=job.settings.workers, start=position.step,
            rank=self.processes.rank, world=self.processes.world, state=position.stream,
        )  # fmt: skip
        with closing(loading) as batches:
            while True:
                started = time.perf_counter()
                batch = self.processes.together(lambda: next(batches, None))
                waited = time.perf_counter() - started
                self._add_seconds({"data": waited})
                if not position.predicted_seconds:
                    self.recent_data.append(waited)
                if batch is None:
                    return
                yield batch

    def _step(self, batch: Batch) -> None:
        position, parts = self.state.position, self.state.position.accumulation
        outcome = self.stepper.take(batch)
        if position.accumulation != parts:
            self._event("out of memory", step=position.total_steps, accumulation=position.accumulation)
        self._add_seconds(outcome.seconds)
        if not outcome.applied:
            self._not_finite(outcome)
            return
        self.skipped_in_a_row = 0
        position.loss_sum += outcome.loss
        position.gradient_norm_sum += outcome.gradient_norm
        position.counted_steps += 1
        position.learning_rate = outcome.learning_rate
        if not position.predicted_seconds:
            self.recent_steps.append(outcome.seconds)

    def _not_finite(self, outcome: Outcome) -> None:
        """Stop, skip the step or roll back, as the recipe says; the weights are as they were before the step."""
        position, policy = self.state.position, self.job.recipe.on_nonfinite
        finite = math.isfinite(outcome.loss) and math.isfinite(outcome.gradient_norm)
        facts = (
            f"{'statistics of batch norm overflow, ' if finite else ''}loss {outcome.loss}, gradient norm "
            f"{outcome.gradient_norm} in step {position.total_steps + 1} (epoch {position.epoch + 1}) at learning rate "
            f"{outcome.learning_rate:.3g}"
        )
        self._event(f"not finite: {facts}", step=position.total_steps, policy=policy)
        self.skipped_in_a_row += 1
        if policy == "skip" and self.skipped_in_a_row <= SKIPPED_IN_A_ROW:
            position.skipped_steps += (position.total_steps,)
            return
        if policy == "rollback" and position.rollbacks < ROLLBACKS:
            self._roll_back()
        self.save()
        tried = {"stop": "", "skip": f", after {SKIPPED_IN_A_ROW} skipped in a row"}
        raise NotFiniteError(
            facts + tried.get(policy, f", after {ROLLBACKS} rollbacks"),
            hint="lower the learning rate, or clip gradients; the state before it is kept: "
            f"{self.job.resumed_by} --set learning_rate=... or --set on_nonfinite=skip",
        )

    def _roll_back(self) -> None:
        """Go back to the newest checkpoint, and leave out the step that failed when it comes again."""
        failed = self.state.position
        self.processes.barrier()
        found = self.processes.together(lambda: load_newest(self.job.run.checkpoints))
        if found is None:
            raise RunError(f"{self.job.run.checkpoints}: no checkpoint to go back to")
        self.go_to(found)
        position = self.state.position
        position.rollbacks = failed.rollbacks + 1
        position.skipped_steps = (*failed.skipped_steps, failed.total_steps)
        self.progress.done_steps = position.total_steps
        raise _RolledBack

    def go_to(self, found: Checkpoint) -> None:
        """Put a checkpoint into the state, and away what is newer: damaged checkpoints, metrics of later epochs."""
        run = self.job.run
        self.processes.together(lambda: self.state.restore(found.tensors, found.state["position"], str(found.path)))
        self.saved = found.path.name
        if self.processes.first:
            run.keep_metrics(self.state.position.epoch)
            remove_newer(found.path)

    def note_unreadable(self, missing: Sequence[tuple[str, str]]) -> None:
        """Count images that could not be read, list each once, and stop where they are too many."""
        position, images = self.state.position, len(self.job.train)
        for name, reason in self.processes.gather(missing):
            if name in position.unreadable:
                continue
            position.unreadable[name] = reason
            self._event(f"unreadable, skipped: {reason}", image=name)
            if len(position.unreadable) > self.job.recipe.max_unreadable * images:
                raise DataError(
                    f"{len(position.unreadable)} of {images:,} training images cannot be read, more than "
                    f"{self.job.recipe.max_unreadable:.1%}; the last: {reason}",
                    hint="convscale data check lists them all; or --set max_unreadable=...",
                )

    def _evaluate(self, images: ImageCollection | Stream) -> Measured:
        job = self.job
        return measure(
            self.state.evaluated, images, job.preprocessing, job.dataset.classes,
            batch=max(64, job.recipe.batch // self.processes.world), workers=job.settings.workers,
            processes=self.processes,
            max_unreadable=job.recipe.max_unreadable, each_batch=self.pause,
        )  # fmt: skip

    def _finish_epoch(self, measured: Measured) -> None:
        """What the epoch came to."""
        position = self.state.position
        seconds = {part: position.epoch_seconds.get(part, 0.0) for part in PARTS}
        training_seconds = sum(seconds.values())
        position.training_seconds += training_seconds
        counted = max(position.counted_steps, 1)
        images = position.counted_steps * self.job.recipe.batch
        record = EpochRecord(
            epoch=position.epoch + 1, steps=position.total_steps, learning_rate=position.learning_rate,
            train_loss=position.loss_sum / counted if position.counted_steps else None,
            gradient_norm=position.gradient_norm_sum / counted if position.counted_steps else None,
            top1=measured.evaluation.top1, seconds=training_seconds,
            **{f"{part}_seconds": seconds[part] for part in PARTS},
            images_per_second=images / max(training_seconds, 1e-9),
        )  # fmt: skip
        self.keep_record(record)

    def keep_record(self, record: EpochRecord) -> None:
        """Write what an epoch came to; the best weights so far, a checkpoint, a line of progress."""
        position = self.state.position
        if record.top1 > position.best_top1:
            position.best_top1, position.best_epoch = record.top1, record.epoch
            if self.processes.first:
                save_weights(self.job.run.path / BEST_WEIGHTS, self.state.evaluated, self.job.header)
        position.next_epoch()
        if self.processes.first:
            self.job.run.append_metrics(record)
            show_epoch(self.board, record)
        self.save()
        self._show(record)

    def _show_step(self) -> None:
        position = self.state.position
        seconds = sum(position.epoch_seconds.values())
        images = position.counted_steps * self.job.recipe.batch
        self.progress.step(
            f"epoch {position.epoch + 1}/{self.job.recipe.epochs}  step {position.step}/{self.steps}  "
            f"{format_count(images / max(seconds, 1e-9))} images/s"
        )

    def _show(self, record: EpochRecord) -> None:
        parts = ""
        if self.job.settings.step_times:
            each = 1000 / self.steps
            parts = "  ms a step: " + ", ".join(
                f"{part} {getattr(record, f'{part}_seconds') * each:.1f}" for part in PARTS
            )
        loss = "-" if record.train_loss is None else f"{record.train_loss:.4f}"
        self.progress.line(
            f"epoch {record.epoch}/{self.job.recipe.epochs}  loss {loss}  "
            f"{'held-out' if self.job.validation is None else 'validation'} top-1 "
            f"{record.top1:.4f}  {format_count(record.images_per_second)} images/s{parts}"
        )

    def pause(self) -> None:
        """Between two steps: predict, save when it is time, leave when a signal came."""
        self._count_seconds()
        self._predict()
        due = time.monotonic() - self.saved_at >= self.job.settings.checkpoint_seconds
        signal, due = self.processes.agree(self.interrupts.received, due)
        if due or signal:
            self.save()
        if signal:
            self.interrupts.received = signal
            position = self.state.position
            raise self.interrupts.stopped(
                f"in epoch {position.epoch + 1} after step {position.step} of {self.steps}",
                self.job.resumed_by,
            )

    def _predict(self) -> None:
        """Predict the seconds of the whole run, once, after the first steps."""
        position, recipe, images = self.state.position, self.job.recipe, len(self.job.watched)
        wanted = min(PREDICTED_AFTER_STEPS, self.steps * recipe.epochs)
        left = self.steps * recipe.epochs - position.total_steps
        if position.predicted_seconds or position.total_steps < wanted or not self.recent_steps or not left:
            return
        steps = self.recent_steps[2:] or self.recent_steps  # the first ones are slow
        step = statistics.median(sum(seconds.values()) for seconds in steps)
        forward = statistics.median(seconds["forward"] for seconds in steps)
        data = statistics.median(self.recent_data)
        evaluation = images / recipe.batch * (data + EVALUATION_SHARE * forward)
        each_epoch = evaluation + self.save_seconds
        position.predicted_seconds = position.run_seconds + left * (step + data) + recipe.epochs * each_epoch
        self.progress.note(f"about {format_seconds(position.predicted_seconds)} in all, by the first {wanted} steps")

    def save(self) -> None:
        """Write a checkpoint of the state as it is, unless it is written already."""
        position, train = self.state.position, self.job.train
        name = checkpoint_name(position.total_steps, evaluated=position.step == 0)
        if isinstance(train, Stream):
            position.stream = train.state_at(position.step * self.job.recipe.batch // self.processes.world)
        started = time.monotonic()
        if self.saved != name:
            self.processes.together(lambda: self._write_checkpoint(name))
            self.save_seconds = time.monotonic() - started
        self.saved, self.saved_at = name, time.monotonic()

    def _write_checkpoint(self, name: str) -> None:
        if self.processes.first:
            job = self.job
            state = {
                "position": self.state.table(),
                "recipe": to_table(job.recipe),
                "network": to_table(job.network),
            }
            save_checkpoint(job.run.checkpoints, name, self.state.tensors(), state)

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.state.position.run_seconds += now - self.clock
        self.clock = now

    def _add_seconds(self, parts: dict[str, float]) -> None:
        sums = self.state.position.epoch_seconds
        for part, seconds in parts.items():
            sums[part] = sums.get(part, 0.0) + seconds

    def _event(self, text: str, **facts: object) -> None:
        """Something that a person should know: in events.jsonl, and on stderr."""
        if self.processes.first:
            self.job.run.append_event(text, **facts)
            self.progress.note(text)
