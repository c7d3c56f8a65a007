"""export: a run or a weights file to a file of another runtime, which is run again and compared before it is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscale.data import ImageCollection
from convscale.data.images import Stream
from convscale.deploy.comparison import BATCH, MAX_DIFFERENCE, MOST, compare, noise, pixels_of
from convscale.deploy.conversion.plain import Plain, plain
from convscale.deploy.conversion.writing import WRITERS
from convscale.deploy.environment import environment_here
from convscale.deploy.quantisation.advice import advice
from convscale.deploy.quantisation.algorithms import quantiser
from convscale.deploy.quantisation.measuring import read_images
from convscale.deploy.quantisation.searching import Search
from convscale.deploy.quantisation.worth import measured_worth
from convscale.errors import ConfigError, ExportError, RunError
from convscale.evaluation.evaluator import images_for
from convscale.evaluation.inputs import GivenImage, given_images
from convscale.evaluation.opened import logits_of
from convscale.exported import Format, format_named, is_exported
from convscale.exported.network import open_exported
from convscale.files import sha256_of, write_together
from convscale.headers import WeightsHeader
from convscale.nn import Model, load_weights
from convscale.progress import print_note
from convscale.records import Comparison, ExportInput, ExportRecord, HashedFile, Int8Record, write_record
from convscale.records.exports import Compared, manifest_name
from convscale.runs import Run, weights_file


def export(
    run_or_file: str | Path,
    to: str,
    *,
    output: str | Path | None = None,
    preprocessing: str = "outside",
    data: str | Path | None = None,
    images: GivenImage | Sequence[GivenImage] | None = None,
    label_column: str | None = None,
    calibrate: str | Path | None = None,
    max_drop: float = 1.0,
    quiet: bool = False,
) -> ExportRecord:
    """Write a run or a weights file as a file of another runtime, with batch norms folded, and a manifest beside it.

    to: "onnx", "openvino", "torch" (a program of torch.export), "litert", "executorch" or "coreml". output: the file;
    by default it lies beside the weights. preprocessing: "inside" takes pixels (n, c, size, size) uint8, resized and
    cropped, "outside" (the default) images that are normalised too, float32. Both take any number of images up to
    `max_batch`. data, images: what the file is compared with the network on, the held-out images of a data set or any
    images; noise if neither is given.

    calibrate: data for int8, of OpenVINO and ONNX: its training images set the ranges of the layers, and the held-out
    ones of `data`, or of `calibrate`, decide whether it loses at most `max_drop` points of top-1 accuracy.

    All is written, or nothing. Raises RunError for the run, ConfigError for values that are not allowed, DataError for
    images, MissingExtraError where a package is missing, ExportError where the file computes something else, or where
    int8 loses too much or so few images cannot tell.
    """
    job = prepare(Path(run_or_file), to, output, preprocessing, "" if calibrate is None else "-int8")
    if calibrate is not None:
        if images is not None:
            raise ConfigError("images without labels cannot judge int8", hint="data, a data set with labels")
        return export_int8(job, calibrate, max_drop / 100, data, label_column, quiet)
    compared: Compared = "noise" if data is None and images is None else "given"
    source = _compared_on(job, data, images, label_column, quiet)
    return write_compared(job, source, compared, quiet)


def export_int8(
    job: Job, calibrate: str | Path, max_drop: float, data: str | Path | None, label_column: str | None, quiet: bool
) -> ExportRecord:
    """The same in int8, behind its gate; `max_drop` is a fraction."""
    if not 0 < max_drop < 1:
        raise ConfigError(
            f"max_drop {100 * max_drop:g} is not allowed", hint="points of accuracy, above 0 and below 100"
        )
    ways = quantiser(job.kind.name)
    if not quiet and (warning := advice(job.header.network)):
        print_note(warning)
    images = read_images(job.source, job.header, calibrate, data, label_column, quiet)
    search = Search(job.kind, job.model, job.header, job.taken, images, max_drop, job.metadata(), quiet)
    chosen = search.run()
    medians, worth = _worth(job, lambda path: ways.save(chosen.network, path))
    record = Int8Record(
        calibration_images=len(images.calibration), n=len(images.truth), accuracy_before=chosen.accuracy_before,
        max_drop=max_drop, chosen=chosen.attempt, tried=chosen.tried, medians_ms=medians, worth=worth,
    )  # fmt: skip
    shown = images.held_out[:: max(1, len(images.held_out) // MOST)]
    return write_compared(job, iter(torch.split(shown, BATCH)), "given", quiet, (chosen.network, record))


def _worth(job: Job, save: Callable[[Path], None]) -> tuple[dict[str, float], str]:
    """What int8 gains over the float file, which is written for it."""
    with tempfile.TemporaryDirectory(prefix="convscale-worth-") as folder:
        float32, int8 = (Path(folder) / f"{name}{job.kind.suffix}" for name in ("float32", "int8"))
        WRITERS[job.kind.name](job.plain(), float32, job.metadata())
        save(int8)
        return measured_worth(float32, int8, np.uint8 if job.taken == "pixels" else np.float32)


@dataclass(frozen=True)
class Job:
    """What is exported, to where."""

    kind: Format
    source: Path
    weights: Path
    path: Path
    model: Model
    header: WeightsHeader
    taken: ExportInput

    @property
    def names(self) -> tuple[str, ...]:
        """The files that are written, the one that is opened last."""
        name = self.path.name
        beside = (self.path.with_suffix(".bin").name,) if self.kind.name == "openvino" else ()
        return (manifest_name(name), *beside, name)

    def plain(self) -> Plain:
        """What exporters get."""
        inside = self.header.preprocessing if self.taken == "pixels" else None
        return plain(self.model, inside, self.header.preprocessing.size)

    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        return self.header.as_metadata() | {"input": self.taken, "weights_sha256": sha256_of(self.weights)}


def prepare(source: Path, to: str, output: str | Path | None, preprocessing: str, ending: str = "") -> Job:
    """Check all that can be known before anything is computed, and load the weights. `ending`: of a default name."""
    kind = format_named(to)
    if preprocessing not in ("inside", "outside"):
        raise ConfigError(f"preprocessing {preprocessing!r} is not allowed", hint="'inside' or 'outside'")
    if is_exported(source):
        raise RunError(f"{source}: exported already", hint="export the run or the weights file that it was made of")
    weights = weights_file(source)
    path = weights.with_name(f"{weights.stem}{ending}{kind.suffix}") if output is None else Path(output)
    if path.suffix != kind.suffix:
        raise ConfigError(
            f"{path}: {kind.title} files end in {kind.suffix}", hint=f"-o {path.with_suffix(kind.suffix)}"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}", hint="make it, or name another file")
    kind.require_writer()
    model, header = load_weights(weights)
    return Job(kind, source, weights, path, model, header, "pixels" if preprocessing == "inside" else "images")


def write_compared(
    job: Job,
    source: Iterator[Tensor],
    compared: Compared,
    quiet: bool,
    quantised: tuple[Any, Int8Record] | None = None,
) -> ExportRecord:
    """Write the file, or the network in int8 that it is to be, run it again, compare, and keep it with its manifest."""
    written: list[ExportRecord] = []

    def write(folder: Path) -> None:
        if quantised is None:
            WRITERS[job.kind.name](job.plain(), folder / job.path.name, job.metadata())
        else:
            quantiser(job.kind.name).save(quantised[0], folder / job.path.name)
        comparison = None
        if job.kind.open is not None:
            comparison = _compare(job, folder, source, compared)
            if quantised is None:
                _require_close(job, comparison)
        record = _record(job, folder, comparison, job.kind.unopened)
        written.append(record if quantised is None else replace(record, dtype="int8", int8=quantised[1]))
        write_record(folder / job.names[0], written[0])

    write_together(job.path.parent, job.names, write)
    if not quiet and written[0].not_compared:
        print_note(f"not compared: {written[0].not_compared}")
    return written[0]


def _compare(job: Job, folder: Path, source: Iterator[Tensor], compared: Compared) -> Comparison:
    # Formats without metadata are described by the manifest, which is not written yet.
    write_record(folder / job.names[0], _record(job, folder, None, ""))
    found = open_exported(folder / job.path.name)
    right = logits_of(job.model, job.header.preprocessing)
    return compare(right, found.logits, source, job.kind.runtime[1], compared)


def _require_close(job: Job, comparison: Comparison) -> None:
    """Raise ExportError where the file computes something else."""
    if not comparison.max_relative_difference <= MAX_DIFFERENCE:
        raise ExportError(
            f"{job.path}: its logits differ from the network's by {comparison.max_relative_difference:.2g} of the "
            f"largest, more than {MAX_DIFFERENCE:g}: nothing was kept",
            hint=f"another version of {job.kind.runtime[1]}, or another format",
        )


def _record(job: Job, folder: Path, comparison: Comparison | None, reason: str) -> ExportRecord:
    run = Run(job.source) if job.source.is_dir() else None
    plan = None if run is None else run.plan()
    network = job.header.network
    return ExportRecord(
        path=str(job.path), format=job.kind.name, dtype="float16" if job.kind.name == "coreml" else "float32",
        input=job.taken, max_batch=job.kind.max_batch,
        files=tuple(hashed(folder / name) for name in reversed(job.names[1:])),
        weights=hashed(job.weights), run="" if run is None else str(run.path),
        budget=None if plan is None else plan.budget, network=network, preprocessing=job.header.preprocessing,
        classes=job.header.classes, versions=environment_here().versions, comparison=comparison, not_compared=reason,
    )  # fmt: skip


def hashed(path: Path) -> HashedFile:
    """A file, or a folder as its files one after the other."""
    parts = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return HashedFile(path.name, sum(one.stat().st_size for one in parts), sha256_of(*parts))


def _compared_on(
    job: Job,
    data: str | Path | None,
    images: GivenImage | Sequence[GivenImage] | None,
    label_column: str | None,
    quiet: bool,
) -> Iterator[Tensor]:
    """Pixels to compare on. Raises DataError."""
    preprocessing = job.header.preprocessing
    found: ImageCollection | Stream
    if images is not None:
        found, notes = given_images(images)
        for note in () if quiet else notes:
            print_note(note)
    elif data is not None:
        found, _ = images_for(job.source, data, label_column, quiet=quiet)
    else:
        if not quiet and job.kind.open is not None:
            print_note("compared on noise, which shows the same arithmetic only: give --data or --images of your own")
        return noise(preprocessing)
    return pixels_of(found, preprocessing)
