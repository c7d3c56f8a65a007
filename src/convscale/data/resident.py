"""Images that stay on the device that computes: small ones, which it can move and mirror faster than they come."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
import torch
from torch import Tensor

from convscale.data.draws import shifts_and_flips
from convscale.data.images import ImageCollection, Labels, Subset, Wrapped
from convscale.data.views import Batch
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation


class ResidentImages(Wrapped):
    """A collection with its views on a device, as `preprocessing` prepares them for evaluation.

    pixels: (n, size, size, channels) uint8. Random views are those of the loader, to the bit.
    """

    def __init__(self, whole: ImageCollection, pixels: Tensor, preprocessing: Preprocessing) -> None:
        super().__init__(whole)
        self.pixels, self.preprocessing = pixels, preprocessing
        self._labels = torch.from_numpy(whole.labels).to(pixels.device)

    def some(self, indices: Labels) -> ResidentImages:
        """A part of them, as `Subset` is of a collection."""
        return ResidentImages(Subset(self.whole, indices), self.pixels[torch.from_numpy(indices)], self.preprocessing)

    def in_order(self, batch: int, *, named: bool) -> Iterator[Batch]:
        """All images, (n, channels, size, size) each time, channels last in memory; labels are on the CPU."""
        for start in range(0, len(self), batch):
            pixels = self.pixels[start : start + batch]
            names = tuple(self.name(start + index) for index in range(len(pixels))) if named else ()
            yield Batch(pixels.permute(0, 3, 1, 2), torch.from_numpy(self.labels[start : start + batch]), (), names)

    def epoch(
        self,
        augmentation: Augmentation,
        seed: int,
        epoch: int,
        items: Labels,
        start: int,
        steps: int,
        size: int,
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch of `items` (`epoch_items`) from step `start` on, as `training_batches` gives them."""
        device, side = self.pixels.device, torch.arange(self.preprocessing.size, device=self.pixels.device)
        items = items[: steps * size]
        reach = max(1, round(len(side) * augmentation.shift)) if augmentation.crop == "shift" else None
        down, right, mirrored = shifts_and_flips(seed, epoch, items, reach, augmentation.flip)
        drawn = torch.from_numpy(np.stack([items % len(self), down, right, mirrored])).to(device)
        for step in range(start, steps):
            index, below, beside, turned = drawn[:, step * size : (step + 1) * size, None]
            rows = (side + below).clamp_(0, len(side) - 1)
            columns = (torch.where(turned > 0, side.flip(0), side) + beside).clamp_(0, len(side) - 1)
            views = self.pixels[index[:, :, None], rows[:, :, None], columns[:, None, :]]
            yield Batch(views.permute(0, 3, 1, 2), self._labels[index[:, 0]])


def can_be_drawn(augmentation: Augmentation) -> bool:
    """Whether a device draws all that the augmentation does to one image."""
    return augmentation.crop in ("none", "shift") and augmentation.policy == "none" and not augmentation.erasing
