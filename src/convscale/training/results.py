"""results: what a training leaves in its run folder when it has finished."""

from __future__ import annotations

import math
from pathlib import Path

from convscale.evaluation import Measured
from convscale.evaluation.details import write_details
from convscale.figures import draw_confusion, draw_curves
from convscale.nn import save_weights
from convscale.nn.processes import Processes
from convscale.progress import print_note
from convscale.records import TrainRecord, write_record
from convscale.report.fits import fit_record
from convscale.report.readme import run_readme
from convscale.training.job import Job
from convscale.training.state import TrainingState
from convscale.units import format_number, format_seconds


def write_results(job: Job, state: TrainingState, measured: Measured, processes: Processes) -> None:
    """Weights, evaluation, pictures, README and the record, in this order: a run is done when its record is there."""
    run, position, evaluation = job.run, state.position, measured.evaluation
    save_weights(run.weights, state.evaluated, job.header)
    run.write_evaluation(evaluation)
    write_details(run, measured)
    metrics = run.metrics()
    judged = position.best_top1 if job.recipe.patience else metrics[-1].top1
    record = TrainRecord(
        top1=evaluation.top1,
        epochs=position.epoch,
        steps=position.total_steps,
        seconds=position.run_seconds,
        images_per_second=position.training_images / max(position.training_seconds, 1e-9),
        best_top1=position.best_top1 if position.best_epoch else evaluation.top1,
        best_epoch=position.best_epoch or position.epoch,
        predicted_seconds=position.predicted_seconds or None,
        unreadable=len(position.unreadable),
        processes=processes.world,
        state_sha256=state.sha256(),
        validation_top1=None if job.validation is None else judged,
        test_top1=evaluation.top1,
    )
    if job.settings.pictures and len(metrics) > 1:
        draw_curves(metrics, run.path / "pictures" / "curves.png", _title(job, position.epoch))
    if job.settings.pictures and measured.confusion is not None:
        title = [f"{Path(job.dataset.source).name}: {format_number(evaluation.n, 'held-out image')}"]
        draw_confusion(measured.confusion, job.dataset.classes, run.path / "pictures" / "confusion.png", title)
    if job.part_of is None:
        run.write_readme(run_readme(run, record))
    if (fitted := fit_record(run, record)) is not None:
        write_record(run.path / "fit.json", fitted)
    run.write_result(record)
    run.remove_checkpoints()
    if job.quiet:
        return
    loss, guessing = metrics[-1].train_loss, math.log(max(2, len(job.dataset.classes)))
    if loss is not None and loss > 2 * guessing:
        print_note(f"the loss ended at {loss:.3g}; guessing gives {guessing:.3g}: did the training diverge?")
    if record.predicted_seconds:
        ratio = position.run_seconds / record.predicted_seconds
        print_note(
            f"{format_seconds(position.run_seconds)} of training and evaluation, {ratio:.2f} times what the first "
            "steps predicted"
        )


def _title(job: Job, epochs: int) -> list[str]:
    """The title of the picture of the curves."""
    held = job.watched
    return [
        f"{job.network.name} on {Path(job.dataset.source).name}: {format_number(len(job.train), 'training image')}, "
        f"{len(held):,} held out; {format_number(epochs, 'epoch')}, seed {job.settings.seed}"
    ]
