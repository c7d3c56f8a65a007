"""How an image becomes a network's input, as plain data that travels with the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from convscale.errors import ConfigError
from convscale.schema import check

# Mean and standard deviation of ImageNet's training images, channels in RGB order, values 0 to 1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_SIZE = 16_384  # pixels
MIN_CROP = 0.1
SHOWN = 12  # channels in words


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image is prepared: resize, cut, scale to `value_range`, subtract `mean`, divide by `std`.

    Raises ConfigError for values that make no sense.
    """

    size: int
    """Side of the central square crop, in pixels."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """One value per channel: one channel is grey, three are RGB, others are what the image files hold."""
    std: tuple[float, ...] = IMAGENET_STD
    """One value per channel."""
    crop: float = 1.0
    """The shorter side is resized to size / crop before the cut."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """Interpolation for resizing."""
    value_range: tuple[float, float] = (0.0, 1.0)
    """What 0 and 255 become before the mean is subtracted."""
    stored_range: tuple[float, float] | None = None
    """The values in image files that become 0 and 255, values outside are clipped; None: all that a file can hold,
    0 to 65535 of 16 bits."""
    resize_rounding: Literal["nearest", "down"] = "nearest"
    """How size / crop is rounded to whole pixels: timm rounds down."""

    def __post_init__(self) -> None:
        check(self)
        if not 1 <= self.size <= MAX_SIZE:
            raise ConfigError(f"size {self.size} is not allowed", hint=f"1 to {MAX_SIZE} pixels")
        if not MIN_CROP <= self.crop <= 1:
            raise ConfigError(f"crop {self.crop} is not allowed", hint=f"{MIN_CROP} to 1")
        if not self.mean or len(self.std) != len(self.mean):
            raise ConfigError(
                f"{len(self.mean)} values of mean and {len(self.std)} of std",
                hint="one per channel, as many of each: one for grey, three for RGB",
            )
        if min(self.std) <= 0:
            raise ConfigError(f"std {list(self.std)} is not allowed", hint="above 0")
        low, high = self.value_range
        if low >= high:
            hint = "the values that 0 and 255 become, such as 0 and 1"
            raise ConfigError(f"value_range [{low:g}, {high:g}] is not allowed", hint=hint)

        if self.stored_range is not None:
            require_range(self.stored_range)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB, others as image files hold them."""
        return len(self.mean)

    @property
    def resize(self) -> int:
        """The shorter side after resizing and before the crop, in pixels."""
        exact = self.size / self.crop
        return math.floor(exact) if self.resize_rounding == "down" else round(exact)

    def in_words(self) -> str:
        """224 px, crop 0.875, bicubic, values 0 to 1, mean 0.485/0.456/0.406, std 0.229/0.224/0.225."""
        mean, std = (_listed(values) for values in (self.mean, self.std))
        low, high = self.value_range
        stored = ""
        if self.stored_range is not None:
            stored = f"{self.stored_range[0]:g} to {self.stored_range[1]:g} as 0 to 255, "
        resized = "" if self.resize == round(self.size / self.crop) else f" of {self.resize} px"
        return (
            f"{stored}{self.size} px, crop {self.crop:.4g}{resized}, {self.interpolation}, values {low:g} to {high:g}, "
            f"mean {mean}, std {std}"
        )

    def at(self, resolution: int | None = None, crop: float | None = None) -> Preprocessing:
        """The same for images of another size in pixels or another central crop, None for its own.

        Raises ConfigError for values outside 1 to 16384 and 0.1 to 1.
        """
        if resolution is not None and (type(resolution) is not int or not 1 <= resolution <= MAX_SIZE):
            raise ConfigError(
                f"resolution {resolution!r} is not allowed", hint=f"a whole number of pixels, 1 to {MAX_SIZE}"
            )
        return replace(self, size=resolution or self.size, crop=self.crop if crop is None else crop)


def _listed(values: tuple[float, ...]) -> str:
    more = f"/... ({len(values)})" if len(values) > SHOWN else ""
    return "/".join(f"{value:.4g}" for value in values[:SHOWN]) + more


def require_range(stored_range: tuple[float, float]) -> None:
    """Raise ConfigError unless the second value is above the first."""
    low, high = stored_range
    if not low < high:
        raise ConfigError(
            f"stored_range [{low:g}, {high:g}] is not allowed",
            hint="the stored values that become 0 and 255, the lower one first",
        )


def default_preprocessing(size: int, channels: int) -> Preprocessing:
    """ImageNet's statistics for RGB, their mean over the channels for one channel or any other number; a central crop
    for sizes at which photographs are cut, the whole image below."""
    rgb = channels == 3
    return Preprocessing(
        size,
        mean=IMAGENET_MEAN if rgb else (0.449,) * channels,
        std=IMAGENET_STD if rgb else (0.226,) * channels,
        crop=0.875 if size > 96 else 1.0,
    )
