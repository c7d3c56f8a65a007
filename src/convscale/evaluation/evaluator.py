"""evaluate and sweep: a run or a weights file, and images, to accuracies."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convscale.data import ImageCollection, open_dataset, open_images
from convscale.data.dataset import source_of
from convscale.data.images import Labels, Stream
from convscale.data.labels import one_spelling
from convscale.data.layouts import Layout
from convscale.errors import ConfigError, DataError
from convscale.evaluation.details import write_details
from convscale.evaluation.measurement import EachImage, measure
from convscale.evaluation.opened import Network, open_network
from convscale.evaluation.pictures import Mistakes, Pictures
from convscale.evaluation.predictions import Predictions
from convscale.evaluation.rows_file import RowsFile
from convscale.evaluation.tally import Measured
from convscale.headers import WeightsHeader
from convscale.nn import UsedPrecision, computes_in_bf16, keep_memory, pick_device
from convscale.preprocessing import Preprocessing
from convscale.progress import Progress, images_per_second, print_note
from convscale.records import DataRecord, Evaluation, SweepRow
from convscale.runs import Run


def evaluate(
    run_or_file: str | Path,
    data: str | Path,
    *,
    batch: int = 64,
    workers: int = 0,
    label_column: str | None = None,
    layout: Layout | None = None,
    split: str | None = None,
    resolution: int | None = None,
    crop: float | None = None,
    predictions: str | Path | None = None,
    pictures: str | Path | None = None,
    keep: bool = False,
    quiet: bool = False,
) -> Evaluation:
    """Accuracy of a run, a weights file or an exported file on `data`: the `split` asked for ("train", "validation" or
    "test"), else its test split, else its validation split, else all images.

    If the run was trained on this same data, only the images that it held out and did not exclude count, and the
    accuracy is the run's own; a weights file does not know what it was trained on. `label_column` is the run's, or
    "label"; `layout`, as in `open_dataset`, is the run's where this is its data. Classes are matched by name, or
    by number if the data numbers them and the network does not.

    resolution, crop: pixels per side, and the share of the resized image that is cropped; default: the network's own.
    predictions: a .csv, .parquet or .jsonl file to write, one row per image (`Predictions`). pictures: a folder for
    reliability.png, confusion.png, confusion.csv and mistakes.png, with SVG and PDF beside. keep: the run keeps
    confusion, calibration and worst mistakes for its report: of the images that it held out, as it sees them. Raises
    RunError, DataError, and ConfigError for values that are not allowed.
    """
    if keep:
        _require_own(Path(run_or_file), data, changed=(split, resolution, crop) != (None, None, None))
    file = None if predictions is None else RowsFile(predictions, "predictions")
    job = _open(Path(run_or_file), data, label_column, layout, split, batch, workers, quiet)
    preprocessing = job.header.preprocessing.at(resolution, crop)
    rows = None if file is None else Predictions(file, job.header.classes)
    drawn = None if pictures is None else Pictures(pictures, job.header.classes, Path(data).name)
    kept = Mistakes(job.header.classes) if keep else None
    measured = job.measure(preprocessing, [one.add for one in (rows, drawn, kept) if one is not None])
    if rows is not None:
        rows.write()
    if drawn is not None:
        drawn.draw(measured)
    if kept is not None:
        write_details(Run(Path(run_or_file)), measured, kept.worst)
    return measured.evaluation


def _require_own(path: Path, data: str | Path, *, changed: bool) -> None:
    """Raise ConfigError unless an evaluation is that of a run's own held-out images, as its evaluation.json is."""
    trained_on = Run(path).data() if path.is_dir() else None
    if changed or trained_on is None or trained_on.source != source_of(data):
        raise ConfigError(
            f"{path}: only an evaluation on the images that a run held out is kept in it",
            hint="name the run's folder and its own data, and leave split, resolution and crop out",
        )


def sweep(
    run_or_file: str | Path,
    data: str | Path,
    *,
    resolutions: Sequence[int] = (),
    crops: Sequence[float] = (),
    batch: int = 64,
    workers: int = 0,
    label_column: str | None = None,
    layout: Layout | None = None,
    split: str | None = None,
    quiet: bool = False,
) -> list[SweepRow]:
    """As `evaluate`, at every resolution with every crop; default: the network's own. Raises as `evaluate`."""
    job = _open(Path(run_or_file), data, label_column, layout, split, batch, workers, quiet)
    own = job.header.preprocessing
    ways = [own.at(resolution, crop) for resolution in resolutions or (own.size,) for crop in crops or (own.crop,)]
    return [SweepRow(way.size, way.crop, job.measure(way).evaluation) for way in ways]


@dataclass(frozen=True)
class _Measuring:
    """A network, images, and the network's class of each class of the images."""

    model: Network
    header: WeightsHeader
    images: ImageCollection | Stream
    positions: Labels
    batch: int
    workers: int
    precision: UsedPrecision
    quiet: bool

    def measure(self, preprocessing: Preprocessing, each_image: Sequence[EachImage] = ()) -> Measured:
        """With progress, notes about unreadable images, and images per second from the first loaded to the last."""
        progress = Progress(math.ceil(len(self.images) / self.batch), quiet=self.quiet)
        started = time.perf_counter()

        def show_batch() -> None:
            seen = min((progress.done_steps + 1) * self.batch, len(self.images))
            progress.step("evaluating", pace=images_per_second(seen, time.perf_counter() - started))

        measured = measure(
            self.model,
            self.images,
            preprocessing,
            self.header.classes,
            positions=self.positions,
            batch=self.batch,
            workers=self.workers,
            precision=self.precision,
            each_batch=show_batch,
            each_image=each_image,
        )
        seconds = time.perf_counter() - started
        for reason in measured.evaluation.unreadable:
            progress.note(f"skipped: {reason}")
        evaluation = replace(measured.evaluation, images_per_second=measured.evaluation.n / max(seconds, 1e-9))
        return measured._replace(evaluation=evaluation)


def _open(
    path: Path,
    data: str | Path,
    label_column: str | None,
    layout: Layout | None,
    split: str | None,
    batch: int,
    workers: int,
    quiet: bool,
) -> _Measuring:
    if batch < 1:
        raise ConfigError(f"batch {batch} is not allowed", hint="at least 1")
    keep_memory()
    model, header = open_network(path)
    trained_on = Run(path).data() if path.is_dir() else None
    images, classes = images_for(path, data, label_column, layout, split, quiet)
    positions = match_classes(classes, header.classes)
    if not quiet and (note := note_on_numbers(classes, header.classes)):
        print_note(note)
    precision = _precision_of(Run(path)) if trained_on is not None else "fp32"
    return _Measuring(model, header, images, positions, batch, workers, precision, quiet)


def images_for(
    path: Path,
    data: str | Path,
    label_column: str | None = None,
    layout: Layout | None = None,
    split: str | None = None,
    quiet: bool = False,
) -> tuple[ImageCollection | Stream, tuple[str, ...]]:
    """The images of `data` that a run or a file is evaluated on, and the classes of the data: of the very data that a
    run was trained on, what it held out."""
    trained_on = Run(path).data() if path.is_dir() else None
    if trained_on is not None and trained_on.source == source_of(data):
        layout = layout or trained_on.layout
        if (own := _images_of_run(Run(path), trained_on, data, label_column, layout, split)) is not None:
            return own
    on_note = None if quiet else print_note
    return open_images(data, label_column=label_column or "label", layout=layout, split=split, on_note=on_note)


def _precision_of(run: Run) -> UsedPrecision:
    """What its own evaluations computed in, where this machine can do so fast."""
    return run.settings().evaluation_precision if computes_in_bf16(pick_device()) else "fp32"


def _images_of_run(
    run: Run,
    trained_on: DataRecord,
    data: str | Path,
    label_column: str | None,
    layout: Layout | None,
    split: str | None,
) -> tuple[ImageCollection | Stream, tuple[str, ...]] | None:
    """A part of the very data that the run was trained on, as the run divided it and without what it left out; None
    where any way of opening the data gives it."""
    drawn, excluded = trained_on.held_out == "stratified", run.excluded_images()
    if not (drawn or excluded):
        return None
    column = label_column or trained_on.label_column
    dataset = open_dataset(data, seed=trained_on.seed, label_column=column, exclude=excluded, layout=layout)
    known = dataset if trained_on.validation_images else replace(dataset, validation=None)
    if known.record().fingerprint != trained_on.fingerprint:
        raise DataError(
            f"{data}: {trained_on.train_images + trained_on.test_images} images when {run.path} was trained, now "
            f"{len(dataset.train) + len(dataset.test)}, or other ones: which were held out can no longer be known",
            hint=f"put images it never saw into a separate folder, or evaluate {run.weights} on all",
        )
    parts = {None: dataset.test, "train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    if trained_on.held_out == "validation":
        parts |= {"validation": dataset.test, "test": None}
    chosen = parts[split]
    if chosen is None:
        raise DataError(f"{data}: no {split} split", hint="omit --split, or name an existing split")
    return chosen, dataset.classes


def match_classes(found: tuple[str, ...], known: tuple[str, ...]) -> Labels:
    """The position in `known` of each class of the data. Raises DataError for a class without one."""
    positions = {name: index for index, name in enumerate(known)}
    spelled = one_spelling([*known, *found])
    if all(spelled[name] in positions for name in found):
        return np.array([positions[name if name in positions else spelled[name]] for name in found], dtype=np.int64)
    numbered = not any(name.isdecimal() for name in known)
    numbers = {name: int(name) for name in found if numbered and name.isdecimal() and int(name) < len(known)}
    if len(numbers) == len(found):
        return np.array(list(numbers.values()), dtype=np.int64)
    strange = next(name for name in found if spelled[name] not in positions and name not in numbers)
    raise DataError(
        f"the data has a class {strange!r} that the network does not know",
        hint=f"the network's {len(known)} classes begin with {', '.join(known[:5])}",
    )


def note_on_numbers(found: tuple[str, ...], known: tuple[str, ...]) -> str:
    """A note if `match_classes` reads the data's classes as numbers and none is 0: they may count from 1."""
    by_number = all(name.isdecimal() for name in found) and not set(found) <= set(known)
    if not by_number or any(int(name) == 0 for name in found):
        return ""
    read = ", ".join(f"{name} as {known[int(name)]}" for name in found[:3])
    more = ", ..." * (len(found) > 3)
    return f"classes are numbers and 0 is missing: counted from 0, {read}{more}; if they count from 1, rename them"
