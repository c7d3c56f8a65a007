"""One image, from the bytes of its file to upright pixels in grey, RGB or all of its channels."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from convscale.data.ancillary import pixels_alone, tiff_in_words
from convscale.data.bands import NPY, Opened, all_channels, planes, read_array, wrong_channels
from convscale.data.depth import GREY_MODES, Range, StoredPixels, is_deep, read_stored, to_8_bits
from convscale.data.tiff_bands import read_tiff, tiff_size
from convscale.errors import DataError

# Larger images are refused before a pixel is decoded: a small file can unpack to gigabytes. Long ones too, since
# resizing their shorter side makes the longer one huge.
MAX_PIXELS = 89_000_000
MAX_ASPECT = 100

_EXIF, _XMP = ("exif", "Raw profile type exif"), ("xmp", "XML:com.adobe.xmp")  # where Pillow keeps them

ADVICE = "remove it or replace it"
_RANGE = "set --range LOW,HIGH, the values that become 0 and 255"

# By EXIF orientation (CIPA DC-008, 4.6.4): what turns the stored pixels upright. 1 is upright, all others are invalid.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path) -> Opened:
    """Open an image file, as `open_image`."""
    return open_image(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """What a file holds. Raises DataError naming it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def open_image(content: bytes, name: str) -> Opened:
    """Open an encoded image and check its size from the header alone; pixels are decoded when asked for. An array and
    the channels of a TIFF that Pillow does not know are read at once.

    Raises DataError calling it `name`.
    """
    if content.startswith(NPY):
        stored = read_array(content, name)
        check_size(*stored.size, name)
        return stored
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(pixels_alone(content)))
    except UnidentifiedImageError:
        if tiff := tiff_in_words(content):
            return _open_bands(content, name, tiff)
        raise DataError(f"{name}: not an image that can be read", hint=ADVICE) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name) from None
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: damaged: {error}", hint=ADVICE) from None
    check_size(*image.size, name)
    return image


def _open_bands(content: bytes, name: str, in_words: str) -> StoredPixels:
    """A TIFF that Pillow does not know, by its channels. Raises DataError for one that is of another kind."""
    width, height = tiff_size(content)
    if width and height:
        check_size(width, height, name)
    try:
        found = read_tiff(content)
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: damaged: {error}", hint=ADVICE) from None
    if found is None:
        hint = "use 8, 16 or 32 bits per channel without JPEG compression; or write .npy with numpy.save"
        raise DataError(f"{name}: {in_words}, of a kind that cannot be read", hint=hint)
    return found


def turn_upright(image: Image.Image) -> Image.Transpose | None:
    """The operation that turns the image upright, None if it is upright or its metadata cannot be read."""
    xmp_alone = Image.new("1", (1, 1))
    xmp_alone.info = {key: image.info[key] for key in _XMP if key in image.info}
    for source in (image, xmp_alone):
        with suppress(Exception):  # damaged EXIF raises anything
            orientation = source.getexif().get(ExifTags.Base.Orientation)
            if orientation is not None:
                return TURNS.get(orientation)
    return None


def check_size(width: int, height: int, name: str) -> None:
    """Raise DataError for an image too large or too long to be decoded."""
    if width * height > MAX_PIXELS:
        raise _too_large(name)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"{name}: {width}x{height} is too long for its width", hint="crop it first")


def _too_large(name: str) -> DataError:
    return DataError(f"{name}: more than {MAX_PIXELS:,} pixels", hint="shrink the image first")


def decode(image: Opened, channels: int, name: str, stored_range: Range | None = None) -> Image.Image:
    """The image upright, as 8-bit grey (channels 1) or RGB (3): the camera's rotation applied, all values that the
    file can hold, or those of `stored_range`, scaled to 0 to 255, transparency placed on white, the first frame of an
    animation. Raises DataError where data is missing, for bands that are neither grey nor RGB, and, without a range,
    for floating-point pixels and for values above 255 in 32 bits or more.
    """
    _require_scale(image, name, stored_range)
    if isinstance(image, StoredPixels):
        if image.channels not in (1, 3):
            raise wrong_channels(image.channels, channels, name)
        return to_8_bits(image, stored_range).convert("L" if channels == 1 else "RGB")
    try:
        deep = read_stored(image) if _needs_stored(image, stored_range) else None
        image.load()  # what stands behind the pixels of a PNG counts too
        turn = turn_upright(image) if image.format != "TIFF" else None  # Pillow turns a TIFF when it loads one
        if deep is not None:
            _require_scale(deep, name, stored_range)
            image = to_8_bits(deep, stored_range, image.info.get("transparency"))
        if turn is not None:
            image = image.transpose(turn)
            image.info = {key: value for key, value in image.info.items() if key not in (*_EXIF, *_XMP)}  # it is done
        if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        image = image.convert("L" if channels == 1 else "RGB")
    except DataError:
        raise
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: damaged: {error}", hint=ADVICE) from None
    return image if stored_range is None or deep is not None else _stretched(image, stored_range)


def decode_channels(
    image: Opened, channels: int, name: str, stored_range: Range | None = None
) -> tuple[Image.Image, ...]:
    """The image upright in `channels` channels: as from `decode` for one and three, else all stored
    channels, transparency included, as 8-bit grey. Raises DataError as `decode`, and if the number differs."""
    if channels in (1, 3):
        return (decode(image, channels, name, stored_range),)
    try:
        stored = all_channels(image, channels)
        turn = turn_upright(image) if isinstance(image, Image.Image) and image.format != "TIFF" else None
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: damaged: {error}", hint=ADVICE) from None
    if stored.channels != channels:
        raise wrong_channels(stored.channels, channels, name)
    _require_scale(stored, name, stored_range)
    found = planes(stored, stored_range)
    return found if turn is None else tuple(plane.transpose(turn) for plane in found)


def _require_scale(image: Opened, name: str, stored_range: Range | None) -> None:
    """Raise DataError where only a range can say what black and white are: by its own values, each image would have
    another white."""
    floats = image.values.dtype.kind == "f" if isinstance(image, StoredPixels) else image.mode == "F"
    if stored_range is not None:
        return
    if floats:
        raise DataError(f"{name}: floating-point pixels", hint=_RANGE)
    if isinstance(image, StoredPixels) and image.bits > 16 and image.top > 255:
        raise DataError(f"{name}: {image.in_words(of_top=False)}: it is not clear which value is white", hint=_RANGE)


def _needs_stored(image: Image.Image, stored_range: Range | None) -> bool:
    """Whether the 8 bits that Pillow would give are not enough."""
    return image.mode in GREY_MODES or (is_deep(image) and (stored_range is not None or "transparency" in image.info))


def _stretched(image: Image.Image, stored_range: Range) -> Image.Image:
    """An image of 8 bits with `stored_range` as 0 to 255."""
    low, high = stored_range
    table = [round(min(255, max(0, (value - low) * 255 / (high - low)))) for value in range(256)]
    return image.point(table * len(image.getbands()))
