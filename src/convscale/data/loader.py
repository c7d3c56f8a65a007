"""Batches of tensors from a collection of images, in this process or in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import data as torch_data

from convscale.data.images import ImageCollection, decode
from convscale.data.transforms import evaluation_pixels, training_pixels
from convscale.errors import DataError
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation


class _Views(torch_data.Dataset[tuple[Tensor, int] | DataError]):
    """One view of each image, or why there is none. Random views depend on (seed, epoch, index) alone, so neither
    the number of workers nor the order of the images changes them."""

    def __init__(
        self,
        images: ImageCollection,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        self.images, self.preprocessing = images, preprocessing
        self.augmentation, self.seed, self.epoch = augmentation, seed, epoch

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int] | DataError:
        try:
            return self.view(index)
        except DataError as error:  # raised in the main process: a worker would wrap it in its traceback
            return error

    def view(self, index: int) -> tuple[Tensor, int]:
        """Pixels (channels, size, size) uint8 and label. Raises DataError."""
        image = decode(self.images.image(index), self.preprocessing.channels, self.images.name(index))
        if self.augmentation is None:
            pixels = evaluation_pixels(image, self.preprocessing)
        else:
            generator = np.random.default_rng((self.seed, self.epoch, index))
            pixels = training_pixels(image, self.preprocessing, self.augmentation, generator)
        return torch.from_numpy(pixels), int(self.images.labels[index])


def evaluation_batches(
    images: ImageCollection, preprocessing: Preprocessing, batch: int, workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order: uint8 (n, channels, size, size) and labels (n,)."""
    return _load(_Views(images, preprocessing), workers, batch_size=batch)


def training_batches(
    images: ImageCollection,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    batch: int,
    *,
    seed: int,
    epoch: int,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in a random order, the last incomplete batch left out: as `evaluation_batches`."""
    views = _Views(images, preprocessing, augmentation, seed, epoch)
    order: NDArray[np.int64] = np.random.default_rng((seed, epoch)).permutation(len(images))
    steps = steps_per_epoch(len(images), batch)
    size = min(batch, len(images))
    batches = [order[step * size : (step + 1) * size].tolist() for step in range(steps)]
    return _load(views, workers, batch_sampler=batches)


def _load(views: _Views, workers: int, **batching: Any) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in torch_data.DataLoader(views, num_workers=workers, collate_fn=_collate, **batching):
        if isinstance(batch, DataError):
            raise batch
        yield batch


def _collate(items: list[tuple[Tensor, int] | DataError]) -> tuple[Tensor, Tensor] | DataError:
    pixels, labels = [], []
    for item in items:
        if isinstance(item, DataError):
            return item
        pixels.append(item[0])
        labels.append(item[1])
    return torch.stack(pixels), torch.tensor(labels)


def steps_per_epoch(images: int, batch: int) -> int:
    """Whole batches in an epoch, at least one."""
    return max(1, images // batch)


class Normalise:
    """uint8 pixels to the network's floats, on the device that computes."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        shape = (1, preprocessing.channels, 1, 1)
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.scale = (1 / (255 * std)).view(shape).to(device)
        self.shift = (-mean / std).view(shape).to(device)
        self.device = device

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, c, h, w) uint8 -> the same shape in float32, channels last in memory."""
        pixels = pixels.to(self.device, non_blocking=True)
        floats = pixels.to(torch.float32, memory_format=torch.channels_last)
        return floats * self.scale + self.shift
