"""Images that are the same, or nearly: fingerprints of a few hundred bytes per image, and groups of similar ones.

Two images are exact duplicates when the same pixels are stored. Near duplicates (recompressed, resized, a
little brighter) agree in all but MAX_BITS bits of a difference hash, the dHash of Krawetz ("Kind of Like That",
hackerfactor.com, 2013), and then in a thumbnail: the hash alone takes all flat or tiny images for one. Images of
other channels than grey or RGB are compared in all of them, with images of as many.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscale.data.bands import planes
from convscale.data.depth import StoredPixels, to_8_bits
from convscale.data.images import Labels, Pixels

# With these, all 366 ImageNet validation images that Imagenette's training split also holds, at another size, are
# found among its 9,469, and no other pair.
MAX_BITS = 10  # of 64; a compressed, resized or brightened photo differs in 0 to 6 as a rule
MAX_RESIDUAL = 0.15  # what differs between two thumbnails, as a share of their contrast: a correlation of 0.989
THUMBNAIL = 12  # pixels per side: 432 bytes per image in RGB
NEIGHBOURS = 128  # compared with each image in each of the orders
STRIP_PIXELS = 1 << 20

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float32]


class Fingerprints:
    """What is kept of `n` images: a digest of the pixels, the dHash, and a thumbnail."""

    def __init__(self, n: int) -> None:
        self.digests: list[bytes | None] = [None] * n
        self.hashes: Hashes = np.zeros(n, np.uint64)
        self.thumbnails: list[Pixels | None] = [None] * n

    def add(self, index: int, image: Image.Image, stored: bytes | StoredPixels | None = None) -> None:
        """Keep the fingerprint of an upright RGB image; images that are never added match nothing. What is `stored`
        decides where it is more than `image` shows: values of more than 8 bits, other channels, or, about exact copies
        alone, a file."""
        self.digests[index] = _digest(image, stored)
        self.hashes[index], self.thumbnails[index] = _look(image, stored)

    def exact_groups(self) -> list[list[int]]:
        """Groups of two or more images with the same pixels, in order of their first image."""
        return [group for group in self._by_digest() if len(group) > 1]

    def near_groups(self) -> list[list[int]]:
        """Groups joined by near duplicates, exact copies of each included, in order of their first image."""
        copies = self._by_digest()
        joined = {group[0]: group for group in copies}
        alike: defaultdict[int, list[int]] = defaultdict(list)  # by their number of channels
        for first in joined:
            alike[self._thumbnail(first).shape[2]].append(first)
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for firsts in alike.values():
            thumbnails = np.stack([self._thumbnail(first) for first in firsts])
            for first, root in zip(firsts, near_components(self.hashes[firsts], thumbnails), strict=True):
                groups[firsts[int(root)]].append(first)
        found = [sorted(i for one in firsts for i in joined[one]) for firsts in groups.values() if len(firsts) > 1]
        return sorted(found)

    def _thumbnail(self, index: int) -> Pixels:
        thumbnail = self.thumbnails[index]
        assert thumbnail is not None, "it was added"
        return thumbnail

    def _by_digest(self) -> list[list[int]]:
        groups: defaultdict[bytes, list[int]] = defaultdict(list)
        for index, digest in enumerate(self.digests):
            if digest is not None:
                groups[digest].append(index)
        return list(groups.values())


def _look(image: Image.Image, stored: bytes | StoredPixels | None) -> tuple[int, Pixels]:
    """The dHash and the thumbnail, (THUMBNAIL, THUMBNAIL, channels), of an image: of RGB, or of all stored channels."""
    if isinstance(stored, StoredPixels):
        used = stored.used if stored.used[0] < stored.used[1] else None  # what little they use
        if stored.channels not in (1, 3) and stored.bands:
            found = planes(stored, used)
            thumbnail = np.dstack([np.asarray(_shrink(one, THUMBNAIL, THUMBNAIL)) for one in found])
            return _brighter(np.mean([np.asarray(_shrink(one, 9, 8)) for one in found], axis=0)), thumbnail
        image = image if used is None else to_8_bits(stored, used).convert("RGB")
    return difference_hash(image), np.asarray(_shrink(image, THUMBNAIL, THUMBNAIL))


def difference_hash(image: Image.Image) -> int:
    """64 bits: whether each pixel of the image as 9x8 in grey is brighter than the one to its left."""
    return _brighter(np.asarray(_shrink(image.convert("L"), 9, 8)))


def _brighter(grey: NDArray[Any]) -> int:
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def _shrink(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _digest(image: Image.Image, stored: bytes | StoredPixels | None) -> bytes:
    """16 bytes of BLAKE2 over size and pixels, read in strips: a large image is not copied whole."""
    if isinstance(stored, StoredPixels):
        values = np.ascontiguousarray(stored.values)
        return hashlib.blake2b(f"{values.dtype} {values.shape}".encode() + values.tobytes(), digest_size=16).digest()
    if stored is not None:
        return hashlib.blake2b(stored, digest_size=16).digest()
    digest = hashlib.blake2b(f"{image.width}x{image.height}".encode(), digest_size=16)
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        digest.update(strip.tobytes())
    return digest.digest()


def near_components(hashes: Hashes, thumbnails: Pixels) -> Labels:
    """For each image the lowest index of the near duplicates that it is joined to, or its own if there is none.

    Not all pairs are compared: the hashes are sorted in eight rotations, which bring similar ones together
    (Manku, Jain and Das Sarma, WWW 2007), and each image is compared with the next NEIGHBOURS. The work grows
    with n log n; a pair can be missed only among hundreds of images of almost the same hash.
    """
    component = np.arange(len(hashes))
    flat = thumbnails.reshape(len(hashes), int(np.prod(thumbnails.shape[1:])))
    mean: Floats = flat.mean(axis=1, dtype=np.float32)
    for turn in range(0, 64, 8):
        turned = np.left_shift(hashes, np.uint64(turn))
        if turn:
            turned |= np.right_shift(hashes, np.uint64(64 - turn))
        order = np.lexsort((mean, turned))
        ordered = hashes[order]
        for step in range(1, min(NEIGHBOURS + 1, len(hashes))):
            differing = ordered[:-step] ^ ordered[step:]
            close = _count_bits(differing) <= MAX_BITS
            if turn:  # equal hashes lie in the same order in every rotation
                close &= differing != 0
            near = np.flatnonzero(close)
            a, b = order[near], order[near + step]
            apart = component[a] != component[b]
            a, b = a[apart], b[apart]
            for part in range(0, len(a), 4096):
                x, y = a[part : part + 4096], b[part : part + 4096]
                alike = _alike(flat[x], flat[y])
                _join(component, x[alike], y[alike])
    return component


def _count_bits(words: Hashes) -> Hashes:
    """The number of ones in each 64-bit word, by sums over pairs, nibbles and bytes."""
    pairs, nibbles, octets = (np.uint64(int(digits * 8, 16)) for digits in ("55", "33", "0f"))
    words = words - ((words >> np.uint64(1)) & pairs)
    words = (words & nibbles) + ((words >> np.uint64(2)) & nibbles)
    words = (words + (words >> np.uint64(4))) & octets
    return (words * np.uint64(int("01" * 8, 16))) >> np.uint64(56)


def _alike(a: Pixels, b: Pixels) -> NDArray[np.bool_]:
    """Which pairs of flat thumbnails (n, values) show the same picture, a small change of light apart.

    After the best straight-line fit of the one to the other, MAX_RESIDUAL of the contrast may remain and one grey
    level for rounding; contrast may change by a quarter and brightness by half of the contrast, with two levels for
    images that have almost none.
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    contrast_x, contrast_y = np.sqrt((x * x).mean(axis=1)), np.sqrt((y * y).mean(axis=1))
    low, high = np.minimum(contrast_x, contrast_y), np.maximum(contrast_x, contrast_y)
    correlation = (x * y).mean(axis=1) / np.maximum(contrast_x * contrast_y, 1e-6)
    residual = high * np.sqrt(np.maximum(0, 1 - correlation**2))
    same_light = (high <= 1.25 * low + 2) & (abs(mean_x - mean_y) <= 0.5 * high + 2)
    same: NDArray[np.bool_] = same_light & (residual <= MAX_RESIDUAL * high + 1) & ((correlation > 0) | (high <= 1))
    return same


def _join(component: Labels, a: Labels, b: Labels) -> None:
    """Give the images of each pair (a, b), and all that are joined to them, the lowest index among them."""
    while len(a) and (component[a] != component[b]).any():
        one, two = component[a], component[b]
        low = np.minimum(one, two)
        np.minimum.at(component, one, low)
        np.minimum.at(component, two, low)
        while (component[component] != component).any():
            component[:] = component[component]
