"""export: a run or a weights file to a file of another runtime, which is run again and compared before it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from convscale.data import ImageCollection
from convscale.data.images import Stream
from convscale.deploy.comparison import MAX_DIFFERENCE, compare, noise, pixels_of
from convscale.deploy.conversion.plain import plain
from convscale.deploy.conversion.writing import WRITERS
from convscale.deploy.environment import environment_here
from convscale.errors import ConfigError, ExportError, RunError
from convscale.evaluation.evaluator import images_for
from convscale.evaluation.inputs import GivenImage, given_images
from convscale.evaluation.opened import logits_of
from convscale.exported import Format, format_named, is_exported, open_exported
from convscale.files import sha256_of, write_together
from convscale.headers import WeightsHeader
from convscale.nn import Model, load_weights
from convscale.progress import print_note
from convscale.records import Comparison, ExportInput, ExportRecord, HashedFile, write_record
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
    quiet: bool = False,
) -> ExportRecord:
    """Write a run or a weights file as a file of another runtime, with batch norms folded, and a manifest beside it.

    to: "onnx", "openvino", "torch" (a program of torch.export), "litert", "executorch" or "coreml". output: the file;
    by default it lies beside the weights. preprocessing: "inside" takes pixels (n, c, size, size) uint8, resized and
    cropped, "outside" (the default) images that are normalised too, float32. Both take any number of images up to
    `max_batch`. data, images: what the file is compared with the network on, the held-out images of a data set or any
    images; noise if neither is given.

    All is written, or nothing. Raises RunError for the run, ConfigError for values that are not allowed,
    MissingExtraError where a package is missing, ExportError where the file computes something else.
    """
    job = prepare(Path(run_or_file), to, output, preprocessing)
    compared: Compared = "noise" if data is None and images is None else "given"
    source = _compared_on(job, data, images, label_column, quiet)
    return write_compared(job, source, compared, quiet)


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


def write_compared(job: Job, source: Iterator[Tensor], compared: Compared, quiet: bool) -> ExportRecord:
    """Write the file, run it again, compare, and keep it with its manifest."""
    written: list[ExportRecord] = []

    def write(folder: Path) -> None:
        taken = job.header.preprocessing if job.taken == "pixels" else None
        given = plain(job.model, taken, job.header.preprocessing.size)
        WRITERS[job.kind.name](given, folder / job.path.name, job.metadata())
        if job.kind.open is None:
            comparison, reason = None, job.kind.unopened
        else:
            comparison, reason = _compare(job, folder, source, compared), ""
        written.append(_record(job, folder, comparison, reason))
        write_record(folder / job.names[0], written[0])

    write_together(job.path.parent, job.names, write)
    if not quiet and written[0].not_compared:
        print_note(f"not compared: {written[0].not_compared}")
    return written[0]


def _compare(job: Job, folder: Path, source: Iterator[Tensor], compared: Compared) -> Comparison:
    """Raises ExportError where the file computes something else."""
    # Formats without metadata are described by the manifest, which is not written yet.
    write_record(folder / job.names[0], _record(job, folder, None, ""))
    found = open_exported(folder / job.path.name)
    right = logits_of(job.model, job.header.preprocessing)
    comparison = compare(right, found.logits, source, job.kind.runtime[1], compared)
    if not comparison.max_relative_difference <= MAX_DIFFERENCE:
        raise ExportError(
            f"{job.path}: its logits differ from the network's by {comparison.max_relative_difference:.2g} of the "
            f"largest, more than {MAX_DIFFERENCE:g}: nothing was kept",
            hint=f"another version of {job.kind.runtime[1]}, or another format",
        )
    return comparison


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
