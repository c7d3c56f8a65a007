"""Views: what a network sees of each image, from collections and from streams. PyTorch's data set of the loader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from convscale.data.balance import epoch_items
from convscale.data.images import ImageCollection, Pixels, Stream, StreamItem
from convscale.data.randomness import Purpose, keyed
from convscale.data.transforms import evaluation_view, evaluation_view_of, training_view, training_view_of
from convscale.errors import DataError
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation, Sampling


class Batch(NamedTuple):
    """Images (n, channels, size, size) uint8 and labels (n,) int64 of one step; `missing` lists its
    unreadable images as (name, reason); `names` those of the others, if requested."""

    pixels: Tensor
    labels: Tensor
    missing: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()


class View(NamedTuple):
    pixels: Tensor | None
    label: int
    name: str = ""
    reason: str = ""


class Indexed:
    """The images of a collection, by index; this process loads every `world`-th of a step. An image that comes again in
    an epoch has the number of images added to its index each time, so that its views differ."""

    def __init__(self, images: ImageCollection, rank: int, world: int, sampling: Sampling) -> None:
        self.images, self.rank, self.world, self.sampling = images, rank, world, sampling

    def key(self, item: Any) -> int:
        return int(item)

    def index(self, item: Any) -> int:
        return int(item) % len(self.images)

    def label(self, item: Any) -> int:
        return int(self.images.labels[self.index(item)])

    def name(self, item: Any) -> str:
        return self.images.name(self.index(item))

    def evaluation(self, item: Any, preprocessing: Preprocessing) -> Pixels:
        return evaluation_view(self.images, self.index(item), preprocessing)

    def training(
        self, item: Any, preprocessing: Preprocessing, augmentation: Augmentation, generator: np.random.Generator
    ) -> Pixels:
        return training_view(self.images, self.index(item), preprocessing, augmentation, generator)

    def epoch(self, seed: int, epoch: int, start: int, steps: int, size: int) -> Iterator[list[int]]:
        """What each step from `start` on loads in this process, in a random order."""
        order = epoch_items(self.images.labels, seed, epoch, self.sampling)
        size -= size % self.world  # fewer images than a batch: as many for each process
        for step in range(start, steps):
            yield order[step * size : (step + 1) * size][self.rank :: self.world].tolist()

    def in_order(self) -> Iterator[int]:
        return iter(range(self.rank, len(self.images), self.world))


class Streamed:
    """The images of a stream, each item with its bytes; it is read in the main process and decoded in workers.

    state: what `Stream.state_at` said where this reading begins.
    """

    def __init__(self, images: Stream, rank: int, world: int, state: Mapping[str, Any] | None) -> None:
        self.images, self.rank, self.world, self.state = images, rank, world, state

    def key(self, item: Any) -> int:
        return int(item.position) * self.world + self.rank

    def label(self, item: Any) -> int:
        return int(item.label)

    def name(self, item: Any) -> str:
        return str(item.name)

    def evaluation(self, item: Any, preprocessing: Preprocessing) -> Pixels:
        return evaluation_view_of(item.content, item.name, preprocessing)

    def training(
        self, item: Any, preprocessing: Preprocessing, augmentation: Augmentation, generator: np.random.Generator
    ) -> Pixels:
        return training_view_of(item.content, item.name, preprocessing, augmentation, generator)

    def epoch(self, seed: int, epoch: int, start: int, steps: int, size: int) -> Iterator[list[StreamItem]]:
        """What each step from `start` on loads in this process, as the stream's seeded shuffle gives it."""
        mine = min(size // self.world, *(self.images.length(rank, self.world) for rank in range(self.world)))
        items = self.images.read(seed, epoch, start * mine, self.rank, self.world, self.state)
        for _ in range(start, steps):
            yield list(islice(items, mine))

    def in_order(self) -> Iterator[StreamItem]:
        return self.images.read(None, 0, 0, self.rank, self.world)


def source_for(
    images: ImageCollection | Stream,
    rank: int,
    world: int,
    state: Mapping[str, Any] | None = None,
    sampling: Sampling = "shuffled",
) -> Indexed | Streamed:
    if isinstance(images, Stream):
        assert sampling == "shuffled", "a stream cannot be drawn from"
        return Streamed(images, rank, world, state)
    return Indexed(images, rank, world, sampling)


class Views(torch_data.Dataset[View]):
    """One view of each image, or why there is none. Random views depend on (seed, epoch, index) alone, so neither
    the number of workers nor the order of the images changes them.

    named: views carry the names of their images too, not only where one cannot be read.
    `busy`, (workers,) int64 shared between processes, holds the index of the image that each worker is at, or -1,
    so that a hanging one can be named.
    """

    def __init__(
        self,
        source: Indexed | Streamed,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        epoch: int = 0,
        named: bool = False,
    ) -> None:
        self.source, self.preprocessing, self.named = source, preprocessing, named
        self.augmentation, self.seed, self.epoch = augmentation, seed, epoch
        self.busy = torch.full((0,), -1)

    def __getitem__(self, item: Any) -> View:
        worker = torch_data.get_worker_info()
        if worker is not None:
            self.busy[worker.id] = self.source.key(item)
        label = self.source.label(item)
        try:
            return View(torch.from_numpy(self.view(item)), label, self.source.name(item) if self.named else "")
        except DataError as error:  # reported by the main process: a worker would wrap it in its traceback
            return View(None, label, self.source.name(item), error.message)
        finally:
            if worker is not None:
                self.busy[worker.id] = -1

    def view(self, item: Any) -> Pixels:
        """Pixels (channels, size, size) uint8. Raises DataError."""
        if self.augmentation is None:
            return self.source.evaluation(item, self.preprocessing)
        generator = keyed(Purpose.VIEW, self.seed, self.epoch, self.source.key(item))
        return self.source.training(item, self.preprocessing, self.augmentation, generator)
