"""convscale eval"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convscale.cli.options import (
    DATA_HELP,
    json_option,
    layout_option,
    workers_option,
)
from convscale.cli.output import print_json, print_table, print_text
from convscale.cli.parameters import Numbers
from convscale.preprocessing import MAX_SIZE, MIN_CROP
from convscale.progress import print_note
from convscale.records import Sweep
from convscale.runs import Run, weights_file

if TYPE_CHECKING:
    from convscale.records import Evaluation, SweepRow


resolution_option = click.option(
    "--resolution", "resolutions", type=Numbers(int, "224,256", between=(1, MAX_SIZE), sides=True), default=(),
    metavar="R[,R...]",
    help="Input side in pixels [default: the network's]; several make a sweep.",
)  # fmt: skip
crop_option = click.option(
    "--crop", "crops", type=Numbers(float, "0.875,1", between=(MIN_CROP, 1)), default=(), metavar="F[,F...]",
    help="Share of the shorter side that the central crop keeps [default: the network's]; several make a sweep.",
)  # fmt: skip


@click.command("eval")
@click.argument("run")
@click.option("--data", required=True, help=DATA_HELP)
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Images per batch.")
@workers_option
@click.option("--label-column", help="Column of labels in a CSV or parquet file [default: the run's, or label].")
@click.option(
    "--split", type=click.Choice(("train", "validation", "test")), help="Split to evaluate on [default: test]."
)
@layout_option
@resolution_option
@crop_option
@click.option("--predictions", metavar="FILE", help="Write one row per image: .csv, .parquet or .jsonl.")
@click.option(
    "--pictures", metavar="DIR", help="Write reliability, confusion and mistakes to DIR, as .png, .svg, .pdf and .csv."
)
@click.option("--keep", is_flag=True, help="Keep confusion, calibration and worst mistakes in RUN, for its report.")
@json_option
def command(
    run: str, data: str, resolutions: tuple[int, ...], crops: tuple[float, ...], predictions: str | None,
    pictures: str | None, keep: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Evaluate RUN (a run folder or a weights file) on images: the test split where there is one.

    On the data that a run was trained on, only the images that it held out are counted.
    """
    sweeps = len(resolutions) > 1 or len(crops) > 1
    if sweeps and (predictions or pictures or keep):
        raise click.UsageError("--predictions, --pictures and --keep require a single --resolution and a single --crop")
    weights = weights_file(Path(run))
    if weights == Path(run):
        print_note("a weights file does not record its training images: all images found are counted")
    else:
        _note_other_data(Run(Path(run)), data)
    from convscale.evaluation import evaluate, sweep

    if sweeps:
        rows = sweep(run, data, resolutions=resolutions, crops=crops, **options)
        print_json(Sweep(tuple(rows))) if as_json else _print_sweep(rows)
        return
    result = evaluate(
        run, data, resolution=next(iter(resolutions), None), crop=next(iter(crops), None), predictions=predictions,
        pictures=pictures, keep=keep, **options,
    )  # fmt: skip
    _note_other_size(data, result)
    print_json(result) if as_json else _print_evaluation(result, data)


def _print_evaluation(result: Evaluation, data: str) -> None:
    from convscale.data.named import find_copy
    from convscale.report.evaluation import calibration, class_table, confused_table

    top1 = f"top-1 {result.top1:.4f}{_interval(result.interval95)}"
    mean = f"mean per class {result.mean_per_class:.4f}{_interval(result.mean_per_class_interval95)}"
    copy = find_copy(data)
    first, other = (mean, top1) if copy is not None and copy.of.metric == "mean_per_class" else (top1, mean)
    print_text(
        f"{first} on {result.n:,} images",
        f"top-5 {result.top5:.4f}{_interval(result.top5_interval95)}",
        other,
        f"calibration error {calibration(result.ece)} (15 bins)",
        f"{result.images_per_second:,.0f} images per second, loading included",
    )
    print_table(class_table(result))
    if result.confused:
        print_table(confused_table(result))


def _print_sweep(rows: Sequence[SweepRow]) -> None:
    from convscale.report.evaluation import sweep_table

    print_text(f"{rows[0].evaluation.n:,} images")
    print_table(sweep_table(rows))


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" (95% interval {interval[0]:.4f} to {interval[1]:.4f})"


def _note_other_data(run: Run, data: str) -> None:
    """Say that images of the training may be among those of `data`, where they were drawn from one folder."""
    from convscale.data.dataset import source_of

    trained_on = run.data()
    if trained_on is not None and trained_on.held_out == "stratified" and trained_on.source != source_of(data):
        print_note(
            f"trained on {trained_on.source}, part of which was held out at random; if {data} holds the same images, "
            "training images are counted too"
        )


def _note_other_size(data: str, result: Evaluation) -> None:
    """Say that not as many images were counted as a published data set has to test on."""
    from convscale.data.named import find_copy

    copy = find_copy(data)
    for note in copy.of.notes({"test": result.n + len(result.unreadable)}) if copy else ():
        print_note(note)
