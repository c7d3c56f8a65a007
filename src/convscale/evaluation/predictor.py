"""predict: a run, a weights file or an exported file, and images, to class probabilities."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from convscale.data.loader import Batch, evaluation_batches
from convscale.errors import ConfigError, DataError
from convscale.evaluation.inputs import GivenImage, Images, given_images
from convscale.evaluation.opened import logits_of, open_network
from convscale.evaluation.ranking import Ranked, ranked
from convscale.evaluation.rows_file import RowsFile, as_utf8
from convscale.nn import keep_memory
from convscale.progress import Progress, images_per_second
from convscale.records import Prediction


def predict(
    run_or_file: str | Path,
    images: GivenImage | Sequence[GivenImage],
    *,
    top: int = 5,
    batch: int = 64,
    workers: int = 0,
    on_unreadable: Literal["raise", "keep"] = "raise",
    output: str | Path | None = None,
    quiet: bool = False,
) -> list[Prediction]:
    """The `top` most probable classes of each image, in the order given.

    images: one or several of: a path to an image file; a folder, for every image below it, sorted; a pattern such as
    "photos/*.jpg"; an encoded image as bytes; a PIL image; an array (height, width) or (height, width, channels) uint8.
    on_unreadable: "keep" gives an image that is missing or unreadable a prediction without classes, whose `error` says
    why. output: a .csv, .parquet or .jsonl file to write, one row per image. workers: processes that load images.

    Raises RunError for the run, ConfigError for values that are not allowed, DataError for anything that is not an
    image, naming a missing or unreadable one.
    """
    if top < 1:
        raise ConfigError(f"top {top} is not allowed", hint="at least 1")
    if batch < 1:
        raise ConfigError(f"batch {batch} is not allowed", hint="at least 1")
    if on_unreadable not in ("raise", "keep"):
        raise ConfigError(f"on_unreadable {on_unreadable!r} is not allowed", hint="'raise' or 'keep'")
    rows = None if output is None else RowsFile(output, "output")
    given, notes = given_images(images)
    progress = Progress(math.ceil(len(given) / batch), quiet=quiet)
    for note in notes:
        progress.note(note)
    found = _predicted(Path(run_or_file), given, top, batch, workers, on_unreadable == "raise", progress)
    if rows is not None:
        rows.add(_columns(found))
        rows.write()
    return found


def _predicted(
    run_or_file: Path, images: Images, top: int, batch: int, workers: int, strict: bool, progress: Progress
) -> list[Prediction]:
    """The prediction of every image; `strict`, one that cannot be read is an error."""
    keep_memory()
    network, header = open_network(run_or_file)
    compute = logits_of(network, header.preprocessing, fused=False)
    loading = evaluation_batches(images, header.preprocessing, batch, workers, named=True)
    return predictions_by(compute, loading, header.classes, top=top, strict=strict, progress=progress)


@torch.inference_mode()
def predictions_by(
    compute: Callable[[Tensor], Tensor],
    loading: Iterable[Batch],
    classes: Sequence[str],
    *,
    top: int,
    strict: bool,
    progress: Progress,
) -> list[Prediction]:
    """The prediction of every image of named batches, by what turns pixels (n, c, h, w) uint8 into logits
    (n, classes); `strict`, one that cannot be read is an error."""
    found: list[Prediction] = []
    started = time.perf_counter()
    for loaded in loading:
        if loaded.missing and strict:
            raise DataError(loaded.missing[0][1], hint="remove it or replace it")
        rows: list[Ranked] = []
        if len(loaded.labels):
            rows = ranked(compute(loaded.pixels).softmax(1), classes, top)
        found += _in_order(loaded, rows, len(found))
        progress.step("predicting", pace=images_per_second(len(found), time.perf_counter() - started))
    return found


def _in_order(loaded: Batch, classes: Sequence[Ranked], first: int) -> Iterator[Prediction]:
    """Those of a batch whose first image has position `first`; labels are positions."""
    read = dict(zip(loaded.labels.tolist(), zip(loaded.names, classes, strict=True), strict=True))
    missing = iter(loaded.missing)
    for position in range(first, first + len(read) + len(loaded.missing)):
        if position in read:
            yield Prediction(*read[position])
        else:
            name, reason = next(missing)
            yield Prediction(name, (), reason.removeprefix(f"{name}: "))


def _columns(predictions: Sequence[Prediction]) -> dict[str, object]:
    """image, predicted and probability, the same with _2 and so on for the classes that follow, and error."""
    import pyarrow

    columns: dict[str, object] = {"image": pyarrow.array([as_utf8(one.image) for one in predictions], pyarrow.string())}
    for place in range(max(1, *(len(one.classes) for one in predictions))):
        ranked = [one.classes[place] if one.classes else (None, None) for one in predictions]
        end = f"_{place + 1}" if place else ""
        columns[f"predicted{end}"] = pyarrow.array([name for name, _ in ranked], pyarrow.string())
        columns[f"probability{end}"] = pyarrow.array([value for _, value in ranked], pyarrow.float32())
    errors = [None if one.error is None else as_utf8(one.error) for one in predictions]
    return columns | {"error": pyarrow.array(errors, pyarrow.string())}
