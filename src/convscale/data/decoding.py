"""One image, decoded no further than a view of it needs.

Plain JPEGs go straight to libjpeg-turbo, at 1/2, 1/4 or 1/8 of their size where a view needs no more: its inverse
cosine transform then computes only the pixels that are left. Everything else goes through PIL, and so does a JPEG that
the decoder complains about: PIL decides whether it is damaged. PyTorch, which resizes, is loaded when first needed.
"""

from __future__ import annotations

import io
from functools import cached_property
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

from convscale.data.bands import Opened
from convscale.data.depth import Range
from convscale.data.images import Pixels
from convscale.data.reading import check_size, decode_channels, open_image, turn_upright

Box = tuple[int, int, int, int]

_START_OF_SCAN, _APP1 = 0xDA, 0xE1  # JPEG markers; APP1 carries EXIF and XMP
_COLOUR = {1: ("Gray", "GRAY"), 3: ("YCbCr", "RGB")}  # by channels: what a plain JPEG holds, what it is decoded to


class Picture:
    """An image, encoded or already open, as `decode_channels` reads it. `size` is (width, height) upright, of a plain
    JPEG read from its header.

    Raises DataError naming it: when made for what is no image, too large or too long; for damage at the latest when
    its pixels are asked for.
    """

    def __init__(self, source: bytes | Opened, channels: int, name: str, stored_range: Range | None = None) -> None:
        self.source, self.channels, self.name, self.stored_range = source, channels, name, stored_range
        size = None
        if isinstance(source, bytes) and stored_range is None and channels in _COLOUR:
            size = _plain_size(source, channels, name)
        self.is_plain = size is not None
        self.size: tuple[int, int] = size or self.images[0].size

    @cached_property
    def images(self) -> tuple[Image.Image, ...]:
        """All of it through PIL, upright: grey or RGB, or an image in grey for each of its channels."""
        image = open_image(self.source, self.name) if isinstance(self.source, bytes) else self.source
        return decode_channels(image, self.channels, self.name, self.stored_range)

    def pixels(self, divisor: int = 1) -> Pixels:
        """All of it, (height, width, channels), where possible at 1 / `divisor` of its size, rounded up."""
        if self.is_plain:
            width, height = (-(-side // divisor) for side in self.size)
            try:
                decoded: Pixels = simplejpeg.decode_jpeg(
                    self.source, _COLOUR[self.channels][1], min_height=height, min_width=width
                )
                return decoded
            except ValueError:
                self.is_plain = False
        return np.dstack([np.asarray(image) for image in self.images])

    def divisor(self, box: Box, size: int) -> int:
        """1, 2, 4 or 8: the largest by which `box` can be shrunk and still have `size` pixels a side."""
        left, top, right, bottom = box
        shorter = min(right - left, bottom - top)
        return next((divisor for divisor in (8, 4, 2) if shorter >= divisor * size), 1)

    def part(self, box: Box, size: int, interpolation: Literal["bilinear", "bicubic"]) -> Pixels:
        """The pixels within `box` (left, top, right, bottom), resized with antialiasing: (channels, size, size).

        A JPEG is decoded at the smallest scale of 1, 1/2, 1/4, 1/8 at which the box still has `size` pixels a side;
        the box is then rounded to whole pixels of that scale.
        """
        divisor = self.divisor(box, size)
        pixels = self.pixels(divisor)
        if self.is_plain:  # still: PIL decodes at full size
            box = rounded(box, divisor)
        left, top, right, bottom = box
        return _resize(pixels[top:bottom, left:right], size, interpolation)


def rounded(box: Box, divisor: int) -> Box:
    """The nearest box in pixels of an image shrunk by `divisor`."""
    left, top, right, bottom = ((edge + divisor // 2) // divisor for edge in box)
    return left, top, right, bottom


def _resize(pixels: Pixels, size: int, interpolation: str) -> Pixels:
    """(height, width, channels) -> (channels, size, size), in integers: any number of threads gives the same."""
    import torch

    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(planes, (size, size), mode=interpolation, antialias=True)
    return np.ascontiguousarray(resized[0].numpy())


def _plain_size(content: bytes, channels: int, name: str) -> tuple[int, int] | None:
    """(width, height) of a JPEG that is upright and holds the colours wanted, None for all else. Raises DataError for
    one that is too large or too long."""
    if not content.startswith(b"\xff\xd8"):
        return None
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    check_size(width, height, name)
    return (width, height) if colour == _COLOUR[channels][0] and _is_upright(content) else None


def _is_upright(content: bytes) -> bool:
    """Whether a JPEG is shown as stored: PIL is asked only where a segment before the pixels may say otherwise."""
    position = 2
    while content[position : position + 1] == b"\xff" and position + 4 <= len(content):
        marker = content[position + 1]
        if marker == _START_OF_SCAN:
            return True
        if marker == _APP1:
            try:
                return turn_upright(Image.open(io.BytesIO(content))) is None
            except Exception:  # `open_image` will tell
                return False
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
    return False
