"""Pixels of more than 8 bits per channel: what is stored, and how it becomes 8 bits.

Pillow keeps grey ones whole; of 16-bit colours it keeps the higher byte, and is asked a second time for the lower one.
"""

from __future__ import annotations

import io
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Range = tuple[float, float]

GREY_MODES = ("I;16", "I;16B", "I;16L", "I", "F")
_OTHER_ORDER = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339  # tags of a TIFF


class StoredPixels(NamedTuple):
    """values: (height, width) or (height, width, channels), a higher one is brighter. top: the highest that the file
    can hold; of 32 bits, that 8, 16 or 32 bits can hold, the fewest that the values need; of floats, 1.
    bits: of a channel in the file. bands: every channel is a measurement, none is transparency."""

    values: NDArray[Any]
    top: float
    bits: int = 16
    bands: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def channels(self) -> int:
        """As many as are stored."""
        return 1 if self.values.ndim == 2 else int(self.values.shape[2])

    @property
    def used(self) -> Range:
        """The lowest and the highest value of grey or colour, transparency aside."""
        colours = self.values[..., :3] if self.values.ndim == 3 and not self.bands else self.values
        return float(np.nanmin(colours)), float(np.nanmax(colours))

    @property
    def fits_8_bits(self) -> bool:
        """Whether 0 to 255 hold the values as they are stored."""
        return self.bits <= 8 and self.used[0] >= 0

    def has_colour(self, key: Any) -> NDArray[np.bool_]:
        """(height, width): where the grey value or the red, green and blue of `key` stand."""
        found: NDArray[np.bool_]
        found = self.values == key if self.values.ndim == 2 else (self.values[..., :3] == key).all(axis=2)
        return found

    def in_words(self, *, of_top: bool = True) -> str:
        """16 bits per channel, values 985 to 1115 of 65535."""
        low, high = self.used
        words = f"{self.bits} bits per channel, values {low:.10g} to {high:.10g}"
        return f"{words} of {self.top:.10g}" if of_top else words


def is_deep(image: Image.Image) -> bool:
    """Whether more than 8 bits per channel are stored and readable; before its pixels are loaded."""
    return image.mode in GREY_MODES or _lower_rawmode(image) is not None


def read_stored(image: Image.Image) -> StoredPixels | None:
    """The values of an image of more than 8 bits per channel, as stored in the file, None for all others.

    Of colours, before its pixels are loaded. Raises whatever Pillow raises where they are damaged.
    """
    if image.mode in GREY_MODES:
        return _grey(image)
    return None if (lower := _lower_rawmode(image)) is None else _colours(image, lower)


def to_8_bits(stored: StoredPixels, stored_range: Range | None, key: Any = None) -> Image.Image:
    """`stored_range`, or all that the file can hold, as 0 to 255; what lies outside becomes the nearer of both. Of
    bands the first three are shown, of two the first. key: the colour that is transparent."""
    low, high = stored_range or (0.0, stored.top)
    shown = stored.values if stored.values.ndim == 2 else stored.values[..., : 3 if stored.channels > 2 else 1]
    opacity = None
    if key is not None:
        opacity = np.where(stored.has_colour(key), np.uint8(0), np.uint8(255))
    elif stored.channels == 4 and not stored.bands:
        opacity = scaled(stored.values[..., 3], 0.0, stored.top)
    image = Image.fromarray(scaled(shown[..., 0] if shown.shape[2:] == (1,) else shown, low, high))
    if opacity is not None:
        image.putalpha(Image.fromarray(opacity))
    return image


def scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """`low` to `high` as 0 to 255; NaN becomes 0."""
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    if values.dtype == np.uint16:  # by a table: no floats for each pixel
        return np.take(scaled(np.arange(1 << 16), low, high), values)
    parts = np.nan_to_num((values.astype(np.float64) - low) * (255 / (high - low)), nan=0.0)
    rounded: NDArray[np.uint8] = parts.clip(0, 255).round().astype(np.uint8)
    return rounded


def _grey(image: Image.Image) -> StoredPixels:
    image.load()
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "F":
        return StoredPixels(values, 1.0, 32)
    bits, signed = _first(tags, _BITS, 16), _first(tags, _SAMPLE_FORMAT, 1) == 2
    needed = bits
    if bits == 32:
        if not signed:
            values = values.view(np.uint32)  # Pillow knows signed ones alone
        needed = next((fewer for fewer in (8, 16) if values.max() < 1 << fewer), 32)
    elif image.mode != "I":
        values = values.astype(np.uint16)  # of either byte order
        if _first(tags, _PHOTOMETRIC, 1) == 0:  # white is zero, which Pillow minds for 8 bits alone
            values = np.uint16((1 << bits) - 1) - values
    return StoredPixels(values, (1 << needed) - 1, bits)


def _first(tags: Any, tag: int, default: int) -> int:
    found = tags.get(tag, default)
    return int(found[0] if isinstance(found, tuple) else found)


def _lower_rawmode(image: Image.Image) -> str | None:
    """How the decoder gives the lower byte of 16-bit colours: it takes one byte of each two, so as if their order were
    the other one. None for other images, and where the pixels are loaded."""
    tiles = getattr(image, "tile", [])
    if image.mode not in ("RGB", "RGBA") or not tiles or not hasattr(getattr(image, "fp", None), "getvalue"):
        return None
    rawmode = tiles[0].args if isinstance(tiles[0].args, str) else tiles[0].args[0]
    if rawmode == "LA;16B":
        return "RGBA"  # both bytes of both
    return rawmode[:-4] + _OTHER_ORDER[rawmode[-4:]] if rawmode[-4:] in _OTHER_ORDER else None


def _colours(image: Any, lower: str) -> StoredPixels:
    twin: Any = Image.open(io.BytesIO(image.fp.getvalue()))
    twin.tile = [
        tile._replace(args=lower if isinstance(tile.args, str) else (lower, *tile.args[1:])) for tile in twin.tile
    ]
    high, low = np.asarray(image).astype(np.uint16), np.asarray(twin)
    low = low[..., [1, 1, 1, 3]] if lower == "RGBA" else low
    return StoredPixels(high << 8 | low, 65535)
