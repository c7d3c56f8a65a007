"""features: images to the pooled values before its classifier."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convscale.data import ImageCollection
from convscale.data.images import Stream
from convscale.data.loader import Batch, Normalise, evaluation_batches, evaluation_loads
from convscale.errors import ConfigError, DataError
from convscale.evaluation.inputs import GivenImage, given_images
from convscale.nn import Lowered, Model, keep_memory, load, lower, to_default_device
from convscale.preprocessing import Preprocessing
from convscale.progress import print_note

IMAGES_AT_ONCE = 4  # in each thread: their widest maps stay near the processor


class Extracted(NamedTuple):
    """Some images in their order: features (n, channels) float32 and labels (n,) int64 on the CPU; unreadable
    ones are only in `missing`, as (name, reason)."""

    features: Tensor
    labels: Tensor
    missing: tuple[tuple[str, str], ...] = ()


def features(
    model_or_path: Model | str | Path,
    images: ImageCollection | Stream | GivenImage | Sequence[GivenImage],
    *,
    batch: int = IMAGES_AT_ONCE,
    workers: int = 0,
) -> Tensor:
    """The pooled features (n, channels), float32 on the CPU, of images in their order.

    model_or_path: a run, a weights file, or a model from `load`. images: as for `predict`, or those of a data set.
    Raises RunError for the network, ConfigError for a model without preprocessing, DataError naming an image that is
    missing or cannot be read.
    """
    model = model_or_path if isinstance(model_or_path, Model) else load(model_or_path)
    if model.preprocessing is None:
        raise ConfigError(
            "the model has no preprocessing", hint="cs.load(FILE) returns one that has it, or set model.preprocessing"
        )
    if isinstance(images, list | tuple) and not images:
        return torch.empty(0, 0)
    if isinstance(images, str | Path | bytes | Image.Image | np.ndarray | Sequence):
        images, notes = given_images(images)
        for note in notes:
            print_note(note)
    keep_memory()
    found = []
    for part in extract(model, Lowered.pooled, images, model.preprocessing, batch=batch, workers=workers):
        if part.missing:
            raise DataError(part.missing[0][1], hint="remove it or replace it")
        found.append(part.features)
    return torch.cat(found) if found else torch.empty(0, 0)


def extract(
    model: Model,
    compute: Callable[[Lowered, Tensor], Tensor],
    images: ImageCollection | Stream,
    preprocessing: Preprocessing,
    *,
    batch: int = IMAGES_AT_ONCE,
    workers: int = 0,
) -> Generator[Extracted, None, None]:
    """The result of `compute` on the lowered model, batch by batch, in the images' order.

    On a CPU each core loads and computes its own batch, which is faster than all cores on one batch, and gives
    the same values for any number of them. `workers`: processes that load images instead, for a GPU.
    """
    normalise = Normalise(preprocessing, next(to_default_device(model).parameters()).device)
    network = lower(model)

    @torch.inference_mode()
    def work(load: Callable[[], Batch]) -> Extracted:
        loaded = load()
        values = compute(network, normalise(loaded.pixels)) if len(loaded.labels) else torch.empty(0, 0)
        return Extracted(values.float().cpu(), loaded.labels, loaded.missing)

    ahead: deque[Future[Extracted]] = deque()
    with _cores(normalise.device) as (pool, cores), closing(_loads(images, preprocessing, batch, workers)) as loads:
        for load in loads:
            ahead.append(pool.submit(work, load))
            if len(ahead) > 2 * cores:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _loads(
    images: ImageCollection | Stream, preprocessing: Preprocessing, batch: int, workers: int
) -> Generator[Callable[[], Batch], None, None]:
    """Functions that give the batches: by loading them, or of batches that processes loaded."""
    if not workers:
        yield from evaluation_loads(images, preprocessing, batch)
        return
    with closing(evaluation_batches(images, preprocessing, batch, workers)) as batches:
        for loaded in batches:
            yield partial(_given, loaded)


def _given(loaded: Batch) -> Batch:
    return loaded


@contextmanager
def _cores(device: torch.device) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Threads, one a core that PyTorch may use, of which each computes alone; one for a GPU."""
    before = torch.get_num_threads()
    count = before if device.type == "cpu" else 1
    pool = ThreadPoolExecutor(count, "features", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool, count
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
