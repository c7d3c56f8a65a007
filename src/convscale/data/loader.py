"""Batches of tensors from a collection of images or a stream of them, in this process or in worker processes."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils import data as torch_data

from convscale.data.balance import epoch_items
from convscale.data.draws import MOST_DRAWN
from convscale.data.images import ImageCollection, Stream, steps_per_epoch
from convscale.data.resident import ResidentImages, can_be_drawn
from convscale.data.views import Batch as Batch
from convscale.data.views import Streamed, View, Views, source_for
from convscale.errors import TrainingError
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation, Sampling

WORKER_TIMEOUT_SECONDS = 50.0
RESTARTS = 3
KEPT_AT_ONCE = 256
CACHED_VALUES = 1 << 16  # floats that a core's cache holds


def training_batches(
    images: ImageCollection | Stream,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    batch: int,
    *,
    seed: int,
    epoch: int,
    workers: int = 0,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    state: Mapping[str, Any] | None = None,
    sampling: Sampling = "shuffled",
) -> Generator[Batch, None, None]:
    """The batches of one epoch in a random order from step `start` on, the last incomplete one left out.

    `sampling` "balanced" draws every class of a collection equally often (`balanced_draws`).

    `batch` counts the images of all `world` processes, of which this one loads every `world`-th. An unreadable
    image is replaced by another of its batch; a batch without a readable image is empty. `state` is
    a stream's at `start`.
    """
    steps, size = steps_per_epoch(images, batch, world), min(batch, len(images))
    if isinstance(images, ResidentImages) and can_be_drawn(augmentation) and world == 1:
        items = epoch_items(images.labels, seed, epoch, sampling)
        if items.max() < MOST_DRAWN:
            yield from images.epoch(augmentation, seed, epoch, items, start, steps, size)
            return
    source = source_for(images, rank, world, state, sampling)
    views = Views(source, preprocessing, augmentation, seed, epoch)
    done = start
    for attempt in range(RESTARTS + 1):
        try:
            with closing(
                _load(views, source.epoch(seed, epoch, done, steps, size), workers, _collate_filled)
            ) as batches:
                for loaded in batches:
                    yield loaded
                    done += 1
            return
        except _WorkerDied as error:  # order and views are functions of the step: continue from there
            if attempt == RESTARTS:
                raise TrainingError(
                    f"workers that load images died {RESTARTS + 1} times, the last with: {error}",
                    hint="use --workers 0, or give each worker more memory",
                ) from None


def evaluation_batches(
    images: ImageCollection | Stream,
    preprocessing: Preprocessing,
    batch: int,
    workers: int = 0,
    *,
    rank: int = 0,
    world: int = 1,
    named: bool = False,
) -> Generator[Batch, None, None]:
    """All images in order, of `world` processes every `world`-th from `rank` on; unreadable ones are left out of
    pixels and labels and named in `missing`. Where `named`, the others have their `names`."""
    if isinstance(images, ResidentImages) and images.preprocessing == preprocessing and world == 1:
        yield from images.in_order(batch, named=named)
        return
    source = source_for(images, rank, world)
    try:
        views = Views(source, preprocessing, named=named)
        yield from _load(views, _chunks(source.in_order(), batch), workers, _collate)
    except _WorkerDied as error:
        raise TrainingError(f"a worker that loads images died: {error}", hint="--workers 0") from None


def kept_on_device(
    images: ImageCollection, preprocessing: Preprocessing, device: torch.device, workers: int, limit_bytes: int
) -> ResidentImages | None:
    """The images with their views on `device`; None where these take more than `limit_bytes`, or one cannot be read."""
    if len(images) * preprocessing.channels * preprocessing.size**2 > limit_bytes:
        return None
    parts = []
    with closing(evaluation_batches(images, preprocessing, KEPT_AT_ONCE, workers)) as batches:
        for batch in batches:
            if batch.missing:
                return None
            parts.append(batch.pixels.to(device, non_blocking=True).permute(0, 2, 3, 1).contiguous())
    return ResidentImages(images, torch.cat(parts), preprocessing)


def evaluation_loads(
    images: ImageCollection | Stream, preprocessing: Preprocessing, batch: int
) -> Iterator[Callable[[], Batch]]:
    """The batches of `evaluation_batches`, each as a function that loads it: for threads that do so side by side."""
    source = source_for(images, 0, 1)
    views = Views(source, preprocessing)
    for chunk in _chunks(source.in_order(), batch):
        yield partial(_load_chunk, views, chunk)


def _load_chunk(views: Views, chunk: list[Any]) -> Batch:
    return _collate([views[item] for item in chunk])


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(islice(items, size)):
        yield chunk


class _WorkerDied(Exception):
    pass


def _load(
    views: Views, plan: Iterator[list[Any]], workers: int, collate: Callable[[list[View]], Batch]
) -> Generator[Batch, None, None]:
    """Batches as planned. Raises _WorkerDied, and TrainingError naming the image at which a worker hangs."""
    views.busy = torch.full((workers,), -1).share_memory_()  # type: ignore[no-untyped-call]
    loader: Any = torch_data.DataLoader(
        views,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=collate,
        timeout=WORKER_TIMEOUT_SECONDS / 2 if workers else 0,
        worker_init_fn=_leave_group,
        pin_memory=torch.cuda.is_available(),  # copies to a GPU run beside its work then
    )
    with _frozen() if workers else nullcontext():
        batches = iter(loader)
    _deaths.hold_back()
    try:
        while (loaded := _next(batches, views)) is not None:
            yield loaded
    finally:  # now, not when an error's traceback is forgotten: at exit PyTorch takes dying workers for a failure
        if workers:
            batches._shutdown_workers()


@contextmanager
def _frozen() -> Iterator[None]:
    """Workers that begin meanwhile free nothing that this process has: a CUDA graph among it would end them."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Deaths:
    """Deaths of workers are reported while a batch is waited for: PyTorch's handler of SIGCHLD raises wherever the main
    thread is, in the middle of a step too."""

    def __init__(self) -> None:
        self._raise: Callable[[int, Any], Any] | None = None
        self._waiting = False

    def hold_back(self) -> None:
        """Stand before PyTorch's handler, which comes with the first workers."""
        handler = signal.getsignal(signal.SIGCHLD)
        if callable(handler) and handler != self._hear and threading.current_thread() is threading.main_thread():
            self._raise = handler
            signal.signal(signal.SIGCHLD, self._hear)

    def _hear(self, number: int, frame: Any) -> None:
        if self._waiting and self._raise:
            self._raise(number, frame)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Raise RuntimeError, as PyTorch does, if a worker died since the last batch or dies now."""
        self._waiting = True
        try:
            self._hear(signal.SIGCHLD, None)
            yield
        finally:
            self._waiting = False


_deaths = _Deaths()


def _next(batches: Iterator[Batch], views: Views) -> Batch | None:
    """The next batch, None after the last. Raises as `_load`."""
    looked = None
    while True:
        try:
            with _deaths.reported():
                return next(batches, None)
        except RuntimeError as error:
            if "timed out" in str(error):
                if looked is not None and looked.equal(views.busy):
                    raise _hanging(views) from None
                looked = views.busy.clone()  # slow, or hanging: the next look tells
                continue
            if "DataLoader worker" not in str(error):
                raise
            raise _WorkerDied(str(error).splitlines()[0]) from None


def _leave_group(worker: int) -> None:
    """Signals meant for the whole group, as a terminal sends, reach the main process alone, which ends its workers;
    what it does at a signal is not for them to do."""
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _hanging(views: Views) -> TrainingError:
    at = [int(key) for key in views.busy if key >= 0]
    streamed = isinstance(views.source, Streamed)
    names = ", ".join(f"image {key} of the stream" if streamed else views.source.name(key) for key in at)
    return TrainingError(
        f"no image for {WORKER_TIMEOUT_SECONDS:.0f} s; the workers are reading {names or 'no image'}",
        hint="check its disk or network, or leave it out with --exclude",
    )


def _collate(views: list[View]) -> Batch:
    """The images that could be read, and the names of the others."""
    good = [view for view in views if view.pixels is not None]
    missing = tuple((view.name, view.reason) for view in views if view.pixels is None)
    if not good:
        return Batch(torch.empty(0), torch.empty(0, dtype=torch.int64), missing)
    pixels = torch.stack([view.pixels for view in good if view.pixels is not None])
    names = tuple(view.name for view in good if view.name)
    return Batch(pixels, torch.tensor([view.label for view in good]), missing, names)


def _collate_filled(views: list[View]) -> Batch:
    """As many images as planned: others of the batch take the places of those that could not be read."""
    batch = _collate(views)
    if not batch.missing or not len(batch.labels):
        return batch
    fill = torch.arange(len(batch.missing)) % len(batch.labels)
    pixels, labels = batch.pixels[fill], batch.labels[fill]
    return Batch(torch.cat([batch.pixels, pixels]), torch.cat([batch.labels, labels]), batch.missing)


class Normalise:
    """uint8 pixels to the network's floats, on the device that computes."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        shape = (1, preprocessing.channels, 1, 1)
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        low, high = preprocessing.value_range
        self.scale = ((high - low) / (255 * std)).view(shape).to(device)
        self.shift = ((low - mean) / std).view(shape).to(device)
        self.device = device

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, c, h, w) uint8 -> the same shape in float32, channels last in memory."""
        if self.device.type == "cpu":  # a few images at a time: the floats stay in the cache until they are scaled
            normalised = torch.empty(pixels.shape, memory_format=torch.channels_last)
            few = max(1, CACHED_VALUES // pixels[:1].numel()) if len(pixels) else 1
            for images, result in zip(torch.split(pixels, few), torch.split(normalised, few), strict=True):
                torch.addcmul(self.shift, images.to(torch.float32), self.scale, out=result)
            return normalised
        pixels = pixels.to(self.device, non_blocking=True)
        floats = pixels.to(torch.float32, memory_format=torch.channels_last)
        return torch.addcmul(self.shift, floats, self.scale)
