"""The loop: epochs of steps, an evaluation after each or after the last, and what is done when a step fails."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing

from convscale import machine
from convscale.data import ImageCollection
from convscale.data.images import Kept, Stream
from convscale.data.loader import Batch, kept_on_device, training_batches
from convscale.data.resident import can_be_drawn
from convscale.errors import NotFiniteError, RunError
from convscale.evaluation import Measured, measure
from convscale.nn import load_weights
from convscale.progress import images_per_second
from convscale.records import EpochRecord
from convscale.runs import BEST_WEIGHTS
from convscale.training.checkpoint import load_newest
from convscale.training.memory import available_bytes
from convscale.training.norm_statistics import renew_statistics
from convscale.training.phases import set_learning
from convscale.training.session import PARTS, Session
from convscale.training.step import Outcome, Stepper
from convscale.training.time_forecast import Forecast

KEPT_SHARE = 0.25  # of the GPU's free memory, for images
MOST_KEEPING = 8  # processes that load them
ROLLBACKS = 3
SKIPPED_IN_A_ROW = 10


class _RolledBack(Exception):
    """The state is that of an earlier step: the epoch's batches start over."""


class Loop:
    """Carries a session's job from the state that it is in to its end, or to a signal."""

    def __init__(self, session: Session) -> None:
        self.session, self.job, self.state, self.processes = session, session.job, session.state, session.processes
        self.stepper = Stepper(self.job, self.state, session.steps, self.processes)
        self.forecast = Forecast(self.job, self.state, session.steps, self.processes.world)
        self.train = self._near(self.job.train) if can_be_drawn(self.job.recipe.augmentation) else self.job.train
        self.watched = self._near(self.job.watched)
        recipe = self.job.recipe
        kept = recipe.norm_statistics == "frozen" or recipe.trainable == "head"
        self.fresh_steps = 0 if kept else self.job.settings.fresh_statistics_steps
        self.skipped_in_a_row = 0

    def run(self) -> Measured:
        """All epochs that are left; the evaluation after the last."""
        try:
            return self._run()
        finally:
            self.stepper.close()

    def _run(self) -> Measured:
        measured = None
        while self.state.position.epoch < self.job.recipe.epochs and not self._enough():
            try:
                self._train_epoch()
                measured = self._judge()
                self._finish_epoch(measured)
            except _RolledBack:
                continue
        if measured is None and self.job.run.metrics()[-1].top1 is None:
            self._renew_statistics()  # the epoch that became the last was not evaluated when it ended
        if self.job.validation is None:
            return measured or self._evaluate(self.job.dataset.test)
        if self.job.recipe.patience:
            self._take_best()
        return self._evaluate(self.job.dataset.test)

    def _near(self, images: ImageCollection | Stream) -> ImageCollection | Stream:
        """Images kept on the GPU where it computes alone and has room for them; on a CPU those that are kept anyhow."""
        device = self.stepper.device
        if self.processes.world > 1 or isinstance(images, Stream):
            return images
        if device.type == "cuda":
            room = int(KEPT_SHARE * (available_bytes(device) or 0))
            workers = max(self.job.settings.workers, min(MOST_KEEPING, machine.cores() - 1))
            return kept_on_device(images, self.job.preprocessing, device, workers, room) or images
        if not isinstance(images, Kept):
            return images
        way, room = self.job.preprocessing, images.limit_bytes
        return images.together(way, lambda: kept_on_device(images, way, device, 0, room)) or images

    def _enough(self) -> bool:
        """Whether `patience` epochs have passed without a better accuracy, where steps are not few any more."""
        position, patience = self.state.position, self.job.recipe.patience
        begun = max(position.improved_epoch, self.fresh_steps // self.session.steps)
        return 0 < patience <= position.epoch - begun

    def _take_best(self) -> None:
        """The weights of the best epoch, which the validation images chose, are those that are kept."""
        position, epochs = self.state.position, self.job.recipe.epochs
        best, _ = self.processes.fail_together(lambda: load_weights(self.job.run.path / BEST_WEIGHTS))
        self.state.evaluated.load_state_dict(best.state_dict())
        stopped = f"stopped after {position.epoch} of {epochs} epochs; " if position.epoch < epochs else ""
        self.session.event(
            f"{stopped}epoch {position.best_epoch} was best on the validation images", top1=position.best_top1
        )

    def _train_epoch(self) -> None:
        """The steps of the epoch that are left."""
        self.session.doing = "training"
        self._begin_phase()
        with closing(self._batches()) as batches:
            for batch in batches:
                self._take(batch)
            self._settle()

    def _begin_phase(self) -> None:
        """Set what learns in this epoch; a phase has its own parameters and pace."""
        model = self.state.model
        learning = len(self.stepper.trainable)
        set_learning(model, self.job.recipe, self.state.position.epoch)
        if sum(parameter.requires_grad for parameter in model.parameters()) != learning:
            self.stepper.close()
            self.stepper = Stepper(self.job, self.state, self.session.steps, self.processes)
        if self.forecast.begin_epoch():
            self.session.progress.restart_pace()

    def _take(self, batch: Batch) -> None:
        """One step on a batch, or what is done in its place; then what is due between two steps."""
        self.session.note_unreadable(batch.missing)
        position = self.state.position
        nothing = self.processes.any(not len(batch.labels)) if batch.missing or self.processes.world > 1 else False
        if nothing:
            self.session.event("no image of a batch could be read: its step is skipped", step=position.total_steps)
        elif position.total_steps not in position.skipped_steps:
            self._step(batch)
        position.step += 1
        position.total_steps += 1
        position.training_images += self.job.recipe.batch
        self._show_step()
        self.session.pause(self._settle)
        if self.forecast.is_due and len(batch.labels):
            pixels = self.stepper.normalise(batch.pixels)
            self.session.progress.note(self.forecast.make(pixels, self.session.save_seconds))

    def _batches(self) -> Generator[Batch, None, None]:
        """The batches of the epoch from its next step on, with the time that each was waited for."""
        job, position = self.job, self.state.position
        loading = training_batches(
            self.train, job.preprocessing, job.recipe.augmentation, job.recipe.batch,
            seed=position.seed, epoch=position.epoch, workers=job.settings.workers, start=position.step,
            rank=self.processes.rank, world=self.processes.world, state=position.stream, sampling=job.recipe.sampling,
        )  # fmt: skip
        with closing(loading) as batches:
            while True:
                started = time.perf_counter()
                batch = self.processes.fail_together(lambda: next(batches, None))
                waited = time.perf_counter() - started
                self._add_seconds({"data": waited})
                self.forecast.add_wait(waited)
                if batch is None:
                    return
                yield batch

    def _step(self, batch: Batch) -> None:
        position, parts = self.state.position, self.state.position.accumulation
        outcome = self.stepper.take(batch)
        if position.accumulation != parts:
            self.session.event("out of memory", step=position.total_steps, accumulation=position.accumulation)
        if outcome is not None:
            self._count(outcome)

    def _settle(self) -> None:
        """Wait for the step in flight, if there is one."""
        outcome = self.stepper.settle()
        if outcome is not None:
            self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        """Record the outcome of a step: this one or, where steps are captured, the one before."""
        position = self.state.position
        self._add_seconds(outcome.seconds)
        if not outcome.applied:
            begun_since = position.total_steps - outcome.step
            position.step -= begun_since
            position.total_steps -= begun_since
            position.training_images -= begun_since * self.job.recipe.batch
            self._not_finite(outcome)
            if begun_since:
                raise _RolledBack
            return
        self.skipped_in_a_row = 0
        position.loss_sum += outcome.loss
        position.gradient_norm_sum += outcome.gradient_norm
        position.counted_steps += 1
        position.learning_rate = outcome.learning_rate
        self.forecast.add_step(sum(outcome.seconds.values()))

    def _not_finite(self, outcome: Outcome) -> None:
        """Stop, skip the step or roll back, as the recipe says; the weights are as they were before the step."""
        position, policy = self.state.position, self.job.recipe.on_nonfinite
        finite = math.isfinite(outcome.loss) and math.isfinite(outcome.gradient_norm)
        facts = (
            f"{'statistics of batch norm overflow, ' if finite else ''}loss {outcome.loss}, gradient norm "
            f"{outcome.gradient_norm} in step {position.total_steps + 1} (epoch {position.epoch + 1}) at learning rate "
            f"{outcome.learning_rate:.3g}"
        )
        self.session.event(f"not finite: {facts}", step=position.total_steps, policy=policy)
        self.skipped_in_a_row += 1
        if policy == "skip" and self.skipped_in_a_row <= SKIPPED_IN_A_ROW:
            position.skipped_steps += (position.total_steps,)
            return
        if policy == "rollback" and position.rollbacks < ROLLBACKS:
            self._roll_back()
        self.session.save()
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
        found = self.processes.fail_together(lambda: load_newest(self.job.run.checkpoints))
        if found is None:
            raise RunError(f"{self.job.run.checkpoints}: no checkpoint to go back to")
        self.stepper.forget()
        self.session.go_to(found)
        position = self.state.position
        position.rollbacks = failed.rollbacks + 1
        position.skipped_steps = (*failed.skipped_steps, failed.total_steps)
        self.session.progress.done_steps = position.total_steps
        raise _RolledBack

    def _judge(self) -> Measured | None:
        """The evaluation that the epoch ends with, if it does."""
        position, last = self.state.position, self.job.recipe.epochs
        if self.job.evaluates_each_epoch or position.epoch + 1 >= last:
            self._renew_statistics()
            return self._evaluate(self.watched)
        if position.total_steps + self.session.steps > self.fresh_steps:  # else they are recomputed again later
            self._renew_statistics()
        return None

    def _renew_statistics(self) -> None:
        """Recompute those of batch norm while steps are few."""
        images, position = self.train, self.state.position
        few = position.total_steps <= self.fresh_steps and position.epoch >= self.job.recipe.head_epochs
        if few and not isinstance(images, Stream):
            renew_statistics(self.state.evaluated, images, self.job.preprocessing)

    def _evaluate(self, images: ImageCollection | Stream) -> Measured:
        job, self.session.doing = self.job, "evaluating"
        started = time.perf_counter()
        measured = measure(
            self.state.evaluated, images, job.preprocessing, job.dataset.classes,
            batch=max(64, job.recipe.batch // self.processes.world), workers=job.settings.workers,
            processes=self.processes, precision=job.settings.evaluation_precision,
            max_unreadable=job.recipe.max_unreadable, each_batch=self.session.pause,
        )  # fmt: skip
        self.forecast.add_evaluation(len(images), time.perf_counter() - started)
        return measured

    def _finish_epoch(self, measured: Measured | None) -> None:
        """The outcome of the epoch."""
        position = self.state.position
        seconds = {part: position.epoch_seconds.get(part, 0.0) for part in PARTS}
        training_seconds = sum(seconds.values())
        position.training_seconds += training_seconds
        counted = max(position.counted_steps, 1)
        images = position.counted_steps * self.job.recipe.batch
        evaluation = None if measured is None else measured.evaluation
        record = EpochRecord(
            epoch=position.epoch + 1, steps=position.total_steps, learning_rate=position.learning_rate,
            train_loss=position.loss_sum / counted if position.counted_steps else None,
            gradient_norm=position.gradient_norm_sum / counted if position.counted_steps else None,
            top1=None if evaluation is None else evaluation.top1, seconds=training_seconds,
            **{f"{part}_seconds": seconds[part] for part in PARTS},
            images_per_second=images / max(training_seconds, 1e-9),
            mean_per_class=None if evaluation is None else evaluation.mean_per_class,
        )  # fmt: skip
        self.session.keep_record(record)

    def _show_step(self) -> None:
        position = self.state.position
        seconds = sum(position.epoch_seconds.values())
        images = position.counted_steps * self.job.recipe.batch
        self.session.progress.step(
            f"epoch {position.epoch + 1}/{self.job.recipe.epochs}", pace=images_per_second(images, seconds)
        )

    def _add_seconds(self, parts: dict[str, float]) -> None:
        sums = self.state.position.epoch_seconds
        for part, seconds in parts.items():
            sums[part] = sums.get(part, 0.0) + seconds
