"""All channels of a TIFF, of which Pillow gives three: as channels of one page, or as pages of one size.

Pixels of n channels lie in a file as those of a grey image n times as wide do, so Pillow is asked for that one, by a
directory that says so (TIFF 6.0, sections 2, 14 and 15). Channels in planes of their own are as many grey images.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from convscale.data.depth import StoredPixels, read_stored

_ORDER = {b"II*\0": "<", b"MM\0*": ">"}
_KINDS = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _ORIENTATION = 256, 257, 258, 259, 262, 273, 274
_SAMPLES, _ROWS, _STRIP_BYTES, _PLANES, _PREDICTOR, _TILE_WIDTH = 277, 278, 279, 284, 317, 322
_TILE_HEIGHT, _TILES, _TILE_BYTES, _FORMAT = 323, 324, 325, 339
_KEPT = (_COMPRESSION, 266, _ROWS, _TILE_HEIGHT)
_BYTE_STREAMS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})  # none, LZW, Deflate, PackBits, LZMA, Zstandard
_SIGNED, _FLOAT = 2, 3
MAX_CHANNELS = 1024
_MAX_PAGES = 1024

# By orientation: what turns (height, width, channels) upright, as `reading.TURNS` does images.
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: np.rot90(values, -1),
    7: lambda values: np.rot90(values.swapaxes(0, 1), 2),
    8: lambda values: np.rot90(values, 1),
}

_Tags = dict[int, tuple[int, ...]]


class _Page(NamedTuple):
    """The tags of whole numbers of one page."""

    tags: _Tags

    def one(self, tag: int, default: int = 0) -> int:
        return self.tags.get(tag, (default,))[0]

    @property
    def kind(self) -> tuple[int, ...]:
        """Width, height, bits and number format: what pages that are channels of one image share."""
        return self.one(_WIDTH), self.one(_HEIGHT), self.one(_BITS, 1), self.one(_FORMAT, 1)

    @property
    def channels(self) -> int:
        return self.one(_SAMPLES, 1)


def count_tiff_channels(content: bytes, channels: int = 1) -> int:
    """How many channels `read_tiff` would read, 0 where it is no TIFF that can be followed."""
    page = next(_pages(content), None)
    return 0 if page is None else channels if len(_parts(content, page, channels)) > 1 else page.channels


def tiff_size(content: bytes) -> tuple[int, int]:
    """(width, height) of the first page as stored, (0, 0) where it is no TIFF that can be followed."""
    page = next(_pages(content), None)
    return (0, 0) if page is None else (page.one(_WIDTH), page.one(_HEIGHT))


def read_tiff(content: bytes, channels: int | None = None) -> StoredPixels | None:
    """The channels of the first page, upright; where it has one, and there are `channels` pages of its kind, the pages.
    None where they cannot be read. Raises whatever Pillow raises where pixels are damaged."""
    page = next(_pages(content), None)
    if page is None:
        return None
    parts = [_read_page(content, one) for one in _parts(content, page, channels)]
    read = [part for part in parts if part is not None]
    return _joined(read, page.one(_ORIENTATION)) if len(read) == len(parts) else None


def _parts(content: bytes, first: _Page, channels: int | None) -> list[_Page]:
    """The pages that are one image of `channels` channels, each one of it; else the first page."""
    if first.channels == 1 and channels not in (None, 1):
        pages = list(_pages(content))
        if len(pages) == channels and all(one.channels == 1 and one.kind == first.kind for one in pages):
            return pages
    return [first]


def _joined(parts: list[StoredPixels], orientation: int) -> StoredPixels:
    """Images of one size, their channels one after the other, upright."""
    values = np.concatenate([np.atleast_3d(part.values) for part in parts], axis=2)
    if (turn := _UPRIGHT.get(orientation)) is not None:
        values = turn(values)
    whole = np.ascontiguousarray(values)
    values = whole[..., 0] if whole.shape[2] == 1 else whole
    return StoredPixels(values, max(part.top for part in parts), parts[0].bits, bands=True)


def _pages(content: bytes) -> Iterator[_Page]:
    """The pages as far as they can be followed."""
    order = _ORDER.get(content[:4])
    seen: set[int] = set()
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4) if order else (0,)
        while start and start not in seen and len(seen) < _MAX_PAGES:
            seen.add(start)
            (count,) = struct.unpack_from(f"{order}H", content, start)
            yield _Page(dict(_tags(content, str(order), start + 2, count)))
            (start,) = struct.unpack_from(f"{order}I", content, start + 2 + 12 * count)
    except struct.error:  # the rest is cut off
        return


def _tags(content: bytes, order: str, start: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    for entry in range(start, start + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", content, entry)
        if kind in _KINDS and length * struct.calcsize(_KINDS[kind]) <= len(content):
            form = f"{order}{length}{_KINDS[kind]}"
            at = entry + 8
            if struct.calcsize(form) > 4:
                (at,) = struct.unpack_from(f"{order}I", content, at)
            if length:
                yield tag, struct.unpack_from(form, content, at)


def _read_page(content: bytes, page: _Page) -> StoredPixels | None:
    """What a page holds, as it lies there; None for what cannot be taken for grey images."""
    width, height, *_ = page.kind
    n = page.channels
    offsets, counts = (
        page.tags.get(_TILES) or page.tags.get(_STRIPS),
        page.tags.get(_TILE_BYTES) or page.tags.get(_STRIP_BYTES),
    )
    bits = set(page.tags.get(_BITS, (1,)))
    if not (width and height and offsets and counts) or len(offsets) != len(counts) or not 1 <= n <= MAX_CHANNELS:
        return None
    predictor = page.one(_PREDICTOR, 1)
    if page.one(_COMPRESSION, 1) not in _BYTE_STREAMS or len(bits) > 1 or not bits <= {8, 16, 32} or predictor > 2:
        return None
    if page.one(_PLANES, 1) == 2 and n > 1:
        each = len(offsets) // n
        slices = [slice(index * each, (index + 1) * each) for index in range(n)]
        grey = [_grey_values(content, page, 1, offsets[part], counts[part], predictor) for part in slices]
        return None if None in grey else _joined([one for one in grey if one is not None], 1)
    found = _grey_values(content, page, n, offsets, counts, 1)
    if found is None:
        return None
    values = found.values.reshape(height, width, n)
    if predictor == 2:
        values = _summed(values, page.one(_TILE_WIDTH) or width)
    return found._replace(values=values)


def _summed(differences: NDArray[Any], width: int) -> NDArray[Any]:
    """Values from their differences along rows, which restart every `width` pixels."""
    parts = [
        differences[:, start : start + width].cumsum(axis=1, dtype=differences.dtype)
        for start in range(0, differences.shape[1], width)
    ]
    return np.concatenate(parts, axis=1)


def _grey_values(
    content: bytes, page: _Page, n: int, offsets: tuple[int, ...], counts: tuple[int, ...], predictor: int
) -> StoredPixels | None:
    """The values of a grey image `n` times as wide, whose parts lie where they are said to; None where Pillow knows no
    such image."""
    width, height, bits, number = page.kind
    tiled = _TILES in page.tags
    tags = {tag: page.tags[tag] for tag in _KEPT if tag in page.tags} | {
        _WIDTH: (width * n,), _HEIGHT: (height,), _BITS: (bits,), _PHOTOMETRIC: (1,), _SAMPLES: (1,),
        _PREDICTOR: (predictor,), _FORMAT: (number,),
        _TILES if tiled else _STRIPS: offsets, _TILE_BYTES if tiled else _STRIP_BYTES: counts,
    }  # fmt: skip
    if tiled:
        tags[_TILE_WIDTH] = (page.one(_TILE_WIDTH) * n,)
    try:
        image = Image.open(io.BytesIO(_with_directory(content, tags)), formats=["TIFF"])
    except UnidentifiedImageError:
        return None
    stored = read_stored(image)
    if stored is not None:
        return stored
    values = np.asarray(image)
    return StoredPixels(values.view(np.int8), 127, 8) if number == _SIGNED else StoredPixels(values, 255, 8)


def _with_directory(content: bytes, tags: _Tags) -> bytes:
    """The file with a directory of these tags alone, behind all that is there."""
    order = _ORDER[content[:4]]
    body = content + b"\0" * (len(content) % 2)
    entries, arrays = b"", b""
    behind = len(body) + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            data, arrays = struct.pack(f"{order}I", behind + len(arrays)), arrays + data
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + data
    table = struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + arrays
    return body[:4] + struct.pack(f"{order}I", len(body)) + body[8:] + table
