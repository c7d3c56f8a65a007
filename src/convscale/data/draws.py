"""What `keyed` generators draw, for many images at once.

The generator of one image costs 15 us to make, as much as the rest of a small image's view. Here numpy's SeedSequence
and PCG64 are computed for a vector of keys: the numbers are those of `keyed(Purpose.VIEW, seed, epoch, index)`, to the
bit (M. E. O'Neill, PCG, 2014, and her seed_seq_fe; numpy promises both streams for ever).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convscale.data.randomness import Purpose, keyed

Words = NDArray[np.uint32]
Wide = tuple[NDArray[np.uint64], NDArray[np.uint64]]  # 128 bits: high, low

_POOL = 4
_MULTIPLIER = (np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645))
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def shifts_and_flips(
    seed: int, epoch: int, indices: NDArray[np.int64], reach: int | None, flip: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """How views of the images `indices` are moved down and right, -reach to reach pixels (None for not at all), and
    which are mirrored, (n,) each: as `training_view` draws them."""
    source = _Streams(seed, epoch, indices)
    nothing = np.zeros(len(indices), np.int64)
    down, right, mirrored = nothing, nothing, nothing.astype(bool)
    if reach is not None:
        both = source.next64()
        down, again = _below(both & _LOW, 2 * reach + 1)
        right, also = _below(both >> _HALF, 2 * reach + 1)
    if flip:
        mirrored = (source.next64() >> np.uint64(11)).astype(np.float64) / 2.0**53 < 0.5
    if reach is not None:
        for at in np.flatnonzero(again | also):  # numpy draws again here: once in a hundred million images
            generator = keyed(Purpose.VIEW, seed, epoch, int(indices[at]))
            down[at], right[at] = (generator.integers(-reach, reach + 1) + reach for _ in range(2))
            mirrored[at] = flip and generator.random() < 0.5
        down, right = down - reach, right - reach
    return down, right, mirrored


def _below(words: NDArray[np.uint64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """32 random bits each to whole numbers below `limit` (Lemire 2019), and where more bits are needed."""
    product = words * np.uint64(limit)
    return (product >> _HALF).astype(np.int64), (product & _LOW) < np.uint64((2**32 - limit) % limit)


class _Streams:
    """PCG64 (XSL-RR 128/64) of each key, seeded as numpy's default_rng seeds it."""

    def __init__(self, seed: int, epoch: int, indices: NDArray[np.int64]) -> None:
        words = _seed_words((int(Purpose.VIEW), 3, seed, epoch), indices)
        pairs = [words[at].astype(np.uint64) | words[at + 1].astype(np.uint64) << _HALF for at in range(0, 8, 2)]
        start, (high, low) = (pairs[0], pairs[1]), (pairs[2], pairs[3])
        one = np.uint64(1)
        self.increment: Wide = (high << one | low >> np.uint64(63), low << one | one)
        self.state = _add(_add((np.zeros_like(high), np.zeros_like(low)), self.increment), start)
        self._step()

    def next64(self) -> NDArray[np.uint64]:
        self._step()
        high, low = self.state
        turn, mixed = high >> np.uint64(58), high ^ low
        turned: NDArray[np.uint64] = np.bitwise_or(mixed >> turn, mixed << (np.uint64(64) - turn & np.uint64(63)))
        return turned

    def _step(self) -> None:
        self.state = _add(_times(self.state, _MULTIPLIER), self.increment)


def _add(one: Wide, other: Wide) -> Wide:
    low = one[1] + other[1]
    return one[0] + other[0] + (low < one[1]).astype(np.uint64), low


def _times(one: Wide, factor: tuple[np.uint64, np.uint64]) -> Wide:
    """The low 128 bits of the product."""
    high, low = one
    a, b = low >> _HALF, low & _LOW
    c, d = factor[1] >> _HALF, factor[1] & _LOW
    middle = a * d + (b * d >> _HALF)
    carried = b * c + (middle & _LOW)
    over = a * c + (middle >> _HALF) + (carried >> _HALF)
    return over + high * factor[1] + low * factor[0], low * factor[1]


class _Hash:
    """The multipliers of SeedSequence's hash, which change with each use."""

    def __init__(self, start: int, factor: int) -> None:
        self.constant, self.factor = start, factor

    def __call__(self, words: Words) -> Words:
        mixed = words ^ np.uint32(self.constant)
        self.constant = self.constant * self.factor & 0xFFFFFFFF
        mixed = mixed * np.uint32(self.constant)
        return mixed ^ mixed >> np.uint32(16)


def _seed_words(key: tuple[int, ...], indices: NDArray[np.int64]) -> list[Words]:
    """SeedSequence((*key, index)).generate_state(8) of each index, (n,) uint32 each."""
    entropy = [np.full(len(indices), word, np.uint32) for number in key for word in _words(number)]
    entropy.append(indices.astype(np.uint32))
    entropy += [np.zeros(len(indices), np.uint32)] * (_POOL - len(entropy))
    scrambled = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [scrambled(word) for word in entropy[:_POOL]]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mixed(pool[target], scrambled(pool[source]))
    for word in entropy[_POOL:]:
        pool = [_mixed(mine, scrambled(word)) for mine in pool]
    scrambled = _Hash(0x8B51F9DD, 0x58F38DED)
    return [scrambled(pool[at % _POOL]) for at in range(8)]


def _mixed(one: Words, other: Words) -> Words:
    mixed: Words = one * np.uint32(0xCA01F9DD) - other * np.uint32(0x4973F715)
    return mixed ^ (mixed >> np.uint32(16))


def _words(number: int) -> list[int]:
    """32 bits at a time, the lowest first, one word at least."""
    words = [number & 0xFFFFFFFF]
    while number := number >> 32:
        words.append(number & 0xFFFFFFFF)
    return words
