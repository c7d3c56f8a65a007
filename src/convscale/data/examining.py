"""One image of a data set read in full: its pixels, and what is damaged or odd about its file."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from convscale.data.bands import Opened
from convscale.data.depth import Range, StoredPixels
from convscale.data.images import ImageCollection
from convscale.data.reading import decode, open_image, turn_upright
from convscale.data.tiff_bands import read_tiff
from convscale.data.usage import Usage, unread_channels
from convscale.errors import DataError

SMALL = 8  # pixels: a shorter side is reported
ELONGATED = 4  # the longer side over the shorter one: a central crop sees a quarter of the image or less
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF",
    ".tiff": "TIFF", ".ppm": "PPM",
}  # fmt: skip


class Examined(NamedTuple):
    """image: upright, in RGB. reasons: what is unusual about its file. stored: what distinguishes it from others, if
    that is more than the pixels of `image`."""

    image: Image.Image
    reasons: list[str]
    stored: bytes | StoredPixels | None = None


def read_fully(images: ImageCollection, index: int) -> tuple[Image.Image, list[str]]:
    """The image upright in RGB, and what is unusual about its file. Raises DataError saying why it is unreadable."""
    examined = examine(images, index, Usage())
    return examined.image, examined.reasons


def examine(images: ImageCollection, index: int, usage: Usage) -> Examined:
    """Everything to report about an image; the range that its pixels use is added to `usage`. Raises DataError saying
    why it is unreadable."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _examine(images, index, usage)
    return found._replace(reasons=found.reasons + sorted({f"Pillow warns: {warning.message}" for warning in caught}))


def _examine(images: ImageCollection, index: int, usage: Usage) -> Examined:
    name, content = images.name(index), images.content(index)
    if content is None:
        return Examined(_shown(images.image(index), name, usage.stored_range), [])
    try:
        image = open_image(content, name)
    except DataError as error:
        raise DataError(f"{name}: {_what_instead(content)}") if "not an image" in error.message else error from None
    if isinstance(image, StoredPixels):
        usage.add(image, name)
        return Examined(_shown(image, name, usage.stored_range), _oddities_of_bands(image), image)
    turned = image.format == "TIFF" and turn_upright(image) is not None  # Pillow turns it when it loads it
    stored = usage.add(image, name)
    upright = decode(image, 3, name, usage.stored_range)
    turned = turned or turn_upright(image) is not None
    if _lacks_end(content, image.format or ""):
        raise DataError(f"{name}: cut short: the end of the file is missing")
    try:
        oddities = _oddities(image, content, Path(name).suffix.lower(), stored)
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: damaged: {error}") from None
    if turned:
        oddities.append("turned by its EXIF orientation")
    return Examined(upright, oddities, _all_stored(content) if unread_channels(image) else stored)


def _all_stored(content: bytes) -> bytes | StoredPixels:
    """The channels of a TIFF, the file itself where they cannot be read."""
    with suppress(Exception):  # decoders raise anything
        return read_tiff(content) or content
    return content


def _shown(image: Opened, name: str, stored_range: Range | None) -> Image.Image:
    """The image in RGB: the first three of more channels, the first of two. Raises DataError as `decode`."""
    if isinstance(image, StoredPixels) and image.channels not in (1, 3):
        values = image.values[..., : 3 if image.channels > 3 else 1]
        image = image._replace(values=values[..., 0] if image.channels == 2 else values)
    return decode(image, 3, name, stored_range)


def _oddities_of_bands(image: StoredPixels) -> list[str]:
    """What a person should know about channels that are read as they are stored."""
    found = [] if image.fits_8_bits else [f"{image.in_words()}, read as 8"]
    found += [f"{image.channels} channels"] if image.channels not in (1, 3) else []
    return found + _oddities_of_size(*image.size)


def _what_instead(content: bytes) -> str:
    """What a file that no decoder knows seems to be."""
    start = content[:1000]
    if not start:
        return "empty file"
    if b"<html" in start.lower() or b"<!doctype html" in start.lower():
        return "a web page, not an image"
    if start[4:8] == b"ftyp":
        return f"{start[8:12].decode('latin-1').strip()} file (HEIC, AVIF or video), which cannot be read"
    try:
        start[:-4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return "not an image that can be read"
    return "text, not an image" if b"\0" not in start else "not an image that can be read"


def _lacks_end(content: bytes, kind: str) -> bool:
    """Whether the mark that ends a file of this kind is missing: decoders forgive a cut in the last bytes."""
    if kind == "JPEG":
        return content.find(b"\xff\xd9", _start_of_scan(content)) < 0
    if kind == "PNG":
        return b"IEND\xaeB`\x82" not in content
    if kind == "GIF":
        return not content.rstrip(b"\0").endswith(b";")
    if kind == "WEBP":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return False


def _start_of_scan(content: bytes) -> int:
    """Where a JPEG's pixels begin (ITU-T T.81, B.1): behind its headers, whose thumbnail has an end of its own."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != 0xDA:
        fill = content[position + 1] == 0xFF
        position += 1 if fill else 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return position


def _oddities(image: Image.Image, content: bytes, suffix: str, stored: StoredPixels | None) -> list[str]:
    """What a person should know about a file that training reads well."""
    found = []
    kind = str(image.format)
    if suffix in FORMATS and FORMATS[suffix] != kind:
        found.append(f"{kind} in a file called {suffix}")
    if image.mode == "CMYK":
        found.append("CMYK colours, read as RGB")
    if stored is not None:
        found.append(f"{stored.in_words()}, read as 8")
    elif _bits(image, content) > 8:
        found.append(f"{_bits(image, content)} bits per channel, read as 8")
    if unread_channels(image):
        found.append(f"{unread_channels(image)}")
    if getattr(image, "is_animated", False):
        found.append("several frames, only the first is read")
    if (how_much := _transparent(image, stored)) is not None:
        found.append(f"{how_much}, placed on a white background")
    return found + _oddities_of_size(*image.size)


def _oddities_of_size(width: int, height: int) -> list[str]:
    found = []
    if min(width, height) < SMALL:
        found.append(f"very small: {width}x{height}")
    if max(width, height) > ELONGATED * min(width, height):
        found.append(f"elongated: {width}x{height}")
    return found


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits per channel, as the file says: Pillow shows 16-bit RGB as 8-bit."""
    if image.format == "PNG":
        return content[24]  # IHDR's bit depth (PNG specification, 11.2.1)
    declared = getattr(image, "tag_v2", {}).get(258, 8)  # TIFF's BitsPerSample
    if image.mode.startswith("I"):
        return 32 if image.mode == "I" and image.format == "TIFF" else 16
    return int(max(declared) if isinstance(declared, tuple) else declared)


def _transparent(image: Image.Image, stored: StoredPixels | None) -> str | None:
    """Whether some pixel is not opaque, or none shows anything, which makes the image white; None where all are
    opaque."""
    if stored is not None and "transparency" in image.info:
        clear = stored.has_colour(image.info["transparency"])
    elif "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "La", "RGBa"):
        return None
    else:
        opacity = np.asarray(image.convert("RGBA").getchannel("A"))
        if opacity.min() == 255:
            return None
        clear = opacity == 0
        if not clear.any():
            return "transparent"
    return "fully transparent" if clear.all() else "transparent" if clear.any() else None
