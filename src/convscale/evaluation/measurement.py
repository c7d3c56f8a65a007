"""measure: a model and images to its accuracy, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from convscale.data import ImageCollection
from convscale.data.images import Labels, Stream
from convscale.data.loader import Batch, evaluation_batches
from convscale.errors import DataError
from convscale.evaluation.opened import Network, device_of, logits_of
from convscale.evaluation.tally import Measured, Tally
from convscale.nn import UsedPrecision, autocast
from convscale.nn.processes import Processes
from convscale.preprocessing import Preprocessing

MAX_UNREADABLE = 0.05  # share of images that may turn out unreadable
NOTHING = Batch(torch.empty(0), torch.empty(0, dtype=torch.int64))


class EvaluatedBatch(NamedTuple):
    """A batch as it was evaluated: names (n), pixels (n, channels, size, size) uint8, logits (n, classes) on any
    device, true and predicted classes (n,) int64 on the CPU."""

    names: tuple[str, ...]
    pixels: Tensor
    logits: Tensor
    truth: Tensor
    predicted: Tensor


EachImage = Callable[[EvaluatedBatch], None]


@torch.inference_mode()
def measure(
    model: Network,
    images: ImageCollection | Stream,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    *,
    positions: Labels | None = None,
    batch: int = 64,
    workers: int = 0,
    processes: Processes | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    precision: UsedPrecision = "fp32",
    each_batch: Callable[[], None] = lambda: None,
    each_image: Sequence[EachImage] = (),
) -> Measured:
    """Accuracy, confusion and calibration of `model` on `images`, shared out over `processes`.

    precision: "bf16" computes in bfloat16, on a CPU with all weights rounded to it. positions: the model's class of
    each class of the data, where they differ. Unreadable images are left out and named; raises DataError if they exceed
    the allowed share. `each_batch` is called after each batch, those of `each_image` with what this process finds about
    its images, batch by batch.
    """
    group = processes or Processes()
    device = device_of(model)
    dtype = torch.bfloat16 if precision == "bf16" and device.type == "cpu" else torch.float32
    compute = logits_of(model, preprocessing, dtype)
    tally = Tally(len(classes))
    missing: list[str] = []
    loading = evaluation_batches(
        images, preprocessing, batch, workers, rank=group.rank, world=group.world, named=bool(each_image)
    )
    with closing(loading) as batches:
        while group.any((loaded := group.fail_together(lambda: next(batches, None))) is not None):
            pixels, labels, unread, names = loaded or NOTHING  # another process may have more of them
            missing += [reason for _, reason in group.gather(unread)]
            require_readable(missing, len(images), max_unreadable)
            if len(labels):
                truth = labels if positions is None else torch.from_numpy(positions)[labels]
                with autocast(device, precision) if device.type == "cuda" else nullcontext():
                    logits = compute(pixels)
                predicted = tally.add(logits, truth)
                for call in each_image:
                    call(EvaluatedBatch(names, pixels, logits, truth, predicted))
            each_batch()
    tally.sum_over(group)
    return tally.measured(classes, tuple(missing))


def require_readable(missing: list[str], images: int, share: float) -> None:
    """Raise DataError where more than a share of the images could not be read, for the reasons in `missing`."""
    if len(missing) > share * images:
        raise DataError(
            f"{len(missing)} of {images:,} images cannot be read; the last: {missing[-1]}",
            hint="convscale data check lists them all",
        )
