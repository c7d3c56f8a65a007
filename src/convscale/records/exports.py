"""What an export wrote, from what, and how close it comes to it: the manifest beside the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from convscale.flattening import TABLE, AsDict
from convscale.networks import ConvNet
from convscale.planning import Budget
from convscale.preprocessing import Preprocessing
from convscale.statistics.paired_accuracy import Outcome

ExportFormat = Literal["onnx", "openvino", "torch", "litert", "executorch", "coreml"]
ExportInput = Literal["images", "pixels"]
ExportDtype = Literal["float32", "float16", "int8"]
Compared = Literal["given", "noise"]


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file's name, its size, and the sha256 of its content."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Comparison(AsDict):
    """The logits of an exported file beside those of the weights that it was made of, on `n` images.

    images: those that were given, or noise where none were. max_relative_difference: the largest difference over the
    largest logit. top1_agreement: the share of images with the same first class. engine: what ran the file.
    """

    engine: str
    n: int
    images: Compared
    top1_agreement: float
    max_relative_difference: float


@dataclass(frozen=True, slots=True)
class Int8Attempt(AsDict):
    """One way to int8, and what it costs on the held-out images: of all, `lost` are wrong in int8 and right in float32,
    `won` the other way round.

    kept_float: layers that stay in float32. difference: of accuracy, a fraction, with its 95 % interval for paired
    images. outcome: whether it is a smaller drop than allowed. needed_images: about how many would tell, where these do
    not; None where they do or where a million would not.
    """

    algorithm: str
    kept_float: tuple[str, ...]
    accuracy: float
    lost: int
    won: int
    difference: float
    interval95: tuple[float, float]
    outcome: Outcome
    needed_images: int | None


@dataclass(frozen=True, slots=True)
class Int8Record(AsDict):
    """How a file came to int8. Accuracies are top-1, fractions, on `n` held-out images; max_drop is one too.

    chosen: the attempt that the file is. tried: all of them in their order. worth: what int8 gains here, in words.
    medians_ms: of one image on one thread, by numbers (float32, bfloat16, int8); empty where it could not be timed.
    """

    calibration_images: int
    n: int
    accuracy_before: float
    max_drop: float
    chosen: Int8Attempt
    tried: tuple[Int8Attempt, ...]
    medians_ms: dict[str, float]
    worth: str


@dataclass(frozen=True, slots=True)
class ExportRecord(AsDict):
    """An exported file, with all that ties it to its budget: network, weights, and hashes of both files.

    path: the file as it was named. files: it and what belongs to it, beside it. input: whether it takes normalised
    images or pixels. max_batch: the most images that it takes at once. run: the run folder that the weights were taken
    from, "" for a weights file. comparison: None where nothing here can run it, for the reason in `not_compared`. int8:
    how it was quantised, None where it was not.
    """

    JSON: ClassVar = (
        "path", "bytes", "top1_agreement", "max_relative_difference", "manifest", "format", "dtype", "input",
        "max_batch", "files", "weights", "run", "budget", "network", "preprocessing", "classes", "versions",
        "comparison", "not_compared", "int8",
    )  # fmt: skip

    path: str
    format: ExportFormat
    dtype: ExportDtype
    input: ExportInput
    max_batch: int
    files: tuple[HashedFile, ...]
    weights: HashedFile
    run: str
    budget: Budget | None
    network: ConvNet = field(metadata=TABLE)
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    versions: dict[str, str]
    comparison: Comparison | None
    not_compared: str = ""
    int8: Int8Record | None = None

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def manifest(self) -> str:
        """Where this record is kept: beside the file."""
        return manifest_name(self.path)

    @property
    def top1_agreement(self) -> float | None:
        """The share of images with the same first class, None where the file was not run."""
        return None if self.comparison is None else self.comparison.top1_agreement

    @property
    def max_relative_difference(self) -> float | None:
        """The largest difference over the largest logit, None where the file was not run."""
        return None if self.comparison is None else self.comparison.max_relative_difference


def manifest_name(path: str) -> str:
    """The name of the manifest beside an exported file."""
    return f"{path}.json"
