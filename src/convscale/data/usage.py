"""Which parts of the pixels of a data set a network does not see: values that are rounded away, unread channels."""

from __future__ import annotations

from collections import Counter
from typing import Any

from convscale.data.bands import Opened, all_channels
from convscale.data.depth import Range, StoredPixels, is_deep, read_stored
from convscale.data.reading import ADVICE
from convscale.errors import DataError

LITTLE = 1 / 4  # of the range that a file can hold
_SAMPLES_PER_PIXEL = 277  # tag of a TIFF


class Usage:
    """Gathers how much of the range that is read (`stored_range`, or all that a file holds) the pixels of images use,
    and which of their channels a network of `channels` does not see."""

    def __init__(self, stored_range: Range | None = None, channels: int = 3) -> None:
        self.stored_range, self.channels = stored_range, channels
        self.images, self.deep = 0, 0
        self.bits, self.tops = 0, set[float]()
        self.used: Range = (float("inf"), float("-inf"))
        self.unread: Counter[str] = Counter()

    def add(self, image: Opened, name: str) -> StoredPixels | None:
        """Note an opened image whose pixels are not loaded yet; its values, where they have more than 8 bits.

        Raises DataError naming it where they are damaged.
        """
        self.images += 1
        if self.channels in (1, 3) and (unread := unread_channels(image)):
            self.unread[unread] += 1
        try:
            stored = self._deep(image)
        except Exception as error:  # decoders of damaged files raise anything
            raise DataError(f"{name}: damaged: {error}", hint=ADVICE) from None
        if stored is not None:
            self.deep, self.bits = self.deep + 1, max(self.bits, stored.bits)
            self.tops.add(stored.top)
            low, high = stored.used
            self.used = min(self.used[0], low), max(self.used[1], high)
        return stored

    def _deep(self, image: Opened) -> StoredPixels | None:
        """The values of an image that 8 bits do not hold, as many channels as are read."""
        if isinstance(image, StoredPixels) or self.channels not in (1, 3):
            stored = all_channels(image, self.channels)
            return None if stored.fits_8_bits else stored
        return read_stored(image) if is_deep(image) else None

    def notes(self) -> tuple[str, ...]:
        """What to know before a network is trained."""
        found = [
            f"{what}: in {count:,} of {self.images:,} images; a network of input_channels = {what.split()[0]} reads all"
            for what, count in self.unread.items()
        ]
        return (*found, *self._notes_on_range()) if self.deep else tuple(found)

    def _notes_on_range(self) -> list[str]:
        low, high = self.used
        values = f"{self.bits} bits per channel, values {low:.10g} to {high:.10g}"
        if self.stored_range is not None:
            start, end = self.stored_range
            outside = f"{values}: those outside {start:.10g} to {end:.10g} become 0 or 255"
            return [outside] if low < start or high > end else []
        advice = f"--range {low:.10g},{high:.10g}"
        if self.deep < self.images:
            advice += f", which changes the {self.images - self.deep:,} images of 8 bits as well"
        top = max(self.tops)
        found = []
        if len(self.tops) > 1:
            tops = ", ".join(f"{one:.10g}" for one in sorted(self.tops))
            found.append(f"{values}: white is {tops}, depending on the image; {advice} reads all alike")
        elif low < high and high - low < LITTLE * top:
            found.append(f"{values} of {top:.10g}: differences between classes may be rounded away; {advice}")
        if low < 0 and not found:
            found.append(f"{values}: those below 0 become 0; {advice}")
        return found


def unread_channels(image: Opened) -> str:
    """ "4 channels, 3 are read", or nothing where all are."""
    if isinstance(image, StoredPixels):
        return ""
    tags: Any = getattr(image, "tag_v2", {})
    read = len(image.getbands())
    stored = int(tags.get(_SAMPLES_PER_PIXEL, read))
    if stored <= read:
        return ""
    return f"{stored} channels, {read} {'is' if read == 1 else 'are'} read"
