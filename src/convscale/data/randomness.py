"""Random numbers as functions of what they are for: the same key gives the same numbers in any process."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What numbers are drawn for. It begins each key, so that no two purposes share numbers."""

    ORDER = 1  # of an epoch's images: (seed, epoch)
    VIEW = 2  # of an image: (seed, epoch, index)
    MIX = 3  # of a batch: (seed, epoch, step, rank)
    STEP = 4  # dropout and drop path: (seed, step, rank, part)
    PARTS = 5  # of a stream: (seed, epoch)
    BLOCK = 6  # of a stream: (seed, epoch, block)
    DEAL = 7  # of a class's images: (seed, class, how often they were all used up)
    CONTINUED = 8  # the seed of a run that continues one: (seed, epochs before)
    CONTROL = 9  # maps that know nothing, and the order of equal values in any: (seed, image[, 1])
    SHOWN = 10  # which images a comparison of networks shows: (seed)


def keyed(purpose: Purpose, *key: int) -> np.random.Generator:
    """A generator for one purpose and key, of which none is negative.

    The length of the key counts too: numpy itself takes (1, 2) and (1, 2, 0) for the same.
    """
    return np.random.default_rng((int(purpose), len(key), *key))
