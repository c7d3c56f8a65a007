"""Images of any number of channels: arrays in .npy files, and the channels of a file as a network sees them."""

from __future__ import annotations

import io
import math
from contextlib import suppress

import numpy as np
from PIL import Image

from convscale.data.depth import Range, StoredPixels, is_deep, read_stored, scaled
from convscale.data.tiff_bands import MAX_CHANNELS, count_tiff_channels, read_tiff
from convscale.errors import DataError
from convscale.units import format_number

NPY = b"\x93NUMPY"
AXES = "an array is (height, width) or (height, width, channels)"
_NUMBERS = "biuf"  # kinds of NumPy's types: truth values, whole numbers with a sign and without, floating point

Opened = Image.Image | StoredPixels


def read_array(content: bytes, name: str) -> StoredPixels:
    """A .npy file. Raises DataError calling it `name`."""
    try:
        shape, turned, kind, start = _header(content)
    except Exception as error:  # what is no header raises anything
        raise DataError(f"{name}: damaged: {error}", hint="write it with numpy.save") from None
    if kind.kind not in _NUMBERS or kind.itemsize > 8:
        raise DataError(f"{name}: an array of {kind}, not an image", hint="use whole or floating-point numbers")
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{name}: an array of shape {shape}, not an image", hint=f"{AXES}; one image per file")
    if len(shape) == 3 and shape[0] < min(shape[1:]):
        raise DataError(
            f"{name}: an array of shape {shape}: its first axis looks like channels",
            hint=f"{AXES}: numpy.moveaxis(array, 0, -1)",
        )
    if shape[2:] > (MAX_CHANNELS,):
        raise DataError(f"{name}: {shape[2]:,} channels, {MAX_CHANNELS:,} at most", hint=AXES)
    if len(content) - start != math.prod(shape) * kind.itemsize:
        raise DataError(f"{name}: damaged: not as long as its header says", hint="write it with numpy.save")
    values = np.frombuffer(content, kind, offset=start).reshape(shape, order="F" if turned else "C")
    values = values.astype(kind.newbyteorder("="), order="C", copy=False)
    if kind.kind == "f" and not np.isfinite(values).any():
        raise DataError(f"{name}: no finite value", hint="NaN and infinity are not brightness")
    return _stored(values[..., 0] if shape[2:] == (1,) else values)


def array_shape(content: bytes) -> tuple[int, ...] | None:
    """The shape of an array by the first bytes of its .npy file, None where they are not such."""
    with suppress(Exception):
        return _header(content)[0]
    return None


def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, whether columns come first, type, and where the values begin."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, turned, kind = read(file)
    return shape, turned, kind, file.tell()


def _stored(values: np.ndarray) -> StoredPixels:
    """With what a type can hold as the top; of 32 bits and more, what the values need."""
    kind, size = values.dtype.kind, values.dtype.itemsize * 8
    if kind == "b":
        return StoredPixels(values.astype(np.uint8), 1, 8, bands=True)
    if kind == "f":
        return StoredPixels(values, 1.0, size, bands=True)
    if size > 16:
        most = int(values.max())
        needed = next(bits for bits in (8, 16, 32, 64) if most < 1 << bits)
        return StoredPixels(values, (1 << needed) - 1, size, bands=True)
    return StoredPixels(values, int(np.iinfo(values.dtype).max), size, bands=True)


def count_channels(image: Opened) -> int:
    """How many channels an opened image has for a network that fits it: 1 of grey, 3 of colours, transparency aside;
    of a TIFF whose further channels Pillow does not read, and of an array, all."""
    if isinstance(image, StoredPixels):
        return image.channels
    bands = len(image.getbands())
    if image.format == "TIFF" and (found := _samples(image)) > bands:
        return found
    return 1 if image.mode in ("L", "LA", "La", "1", "I;16", "I;16B", "I;16L", "I", "F") else 3


def shown_channels(image: Opened, channels: int) -> int:
    """How many channels of an opened image a network of `channels` would be shown: its own number where it can be,
    else what the image has."""
    if isinstance(image, StoredPixels):
        return channels if channels in (1, 3) and image.channels in (1, 3) else image.channels
    if channels in (1, 3):
        return channels
    content = _content(image) if image.format == "TIFF" else None
    found = 0 if content is None else count_tiff_channels(content, channels)
    return found or (3 if image.mode in ("P", "PA", "1") else len(image.getbands()))


def _samples(image: Image.Image) -> int:
    content = _content(image)
    return 0 if content is None else count_tiff_channels(content)


def _content(image: Image.Image) -> bytes | None:
    """The file that an image was opened from, where that is in memory."""
    read = getattr(getattr(image, "fp", None), "getvalue", None)
    return None if read is None else bytes(read())


def all_channels(image: Opened, channels: int) -> StoredPixels:
    """Every channel that an image is stored with, transparency as one; for a TIFF with one channel per page, the pages
    if there are `channels` of them. Before its pixels are loaded. Raises whatever Pillow raises for damaged ones."""
    if isinstance(image, StoredPixels):
        return image
    content = _content(image) if image.format == "TIFF" else None
    if content is not None and (found := read_tiff(content, channels)) is not None:
        return found
    deep = read_stored(image) if is_deep(image) else None
    if deep is not None:
        return deep._replace(bands=True)
    values = np.asarray(image.convert("RGB") if image.mode in ("P", "PA", "1") else image)
    return StoredPixels(values, 255, 8, bands=True)


def planes(stored: StoredPixels, stored_range: Range | None) -> tuple[Image.Image, ...]:
    """Each channel as 8-bit grey, `stored_range`, or all that the file can hold, as 0 to 255."""
    low, high = stored_range or (0.0, stored.top)
    values = np.atleast_3d(scaled(stored.values, low, high))
    return tuple(Image.fromarray(values[..., index]) for index in range(values.shape[2]))


def wrong_channels(found: int, wanted: int, name: str) -> DataError:
    """The error for an image whose channels differ from the network's."""
    return DataError(
        f"{name}: {format_number(found, 'channel')}, the network has {wanted}",
        hint=f"a network with input_channels = {found} (`convscale show NAME --toml`), or images of {wanted}; {AXES}",
    )
