"""Image collections: where images come from. User files are only ever read.

`image(i)` is the image as stored; `decode_channels` turns it into the grey, RGB or other pixels that a network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscale.data.bands import Opened as Opened
from convscale.data.reading import ADVICE, open_image, read_bytes, read_image
from convscale.data.reading import decode as decode
from convscale.errors import DataError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
T = TypeVar("T")


class ImageCollection(Protocol):
    """Images with a label each. `labels` are class indices, int64."""

    labels: Labels

    def __len__(self) -> int: ...

    def image(self, index: int) -> Opened:
        """The image as stored, not yet decoded where that can wait. Raises DataError naming it."""
        ...

    def content(self, index: int) -> bytes | None:
        """The encoded image, None where the collection holds pixels. Raises DataError naming it."""
        ...

    def name(self, index: int) -> str:
        """What to call the image in a message: a path, or a file and row."""
        ...


class StreamItem(NamedTuple):
    """One encoded image of a stream. position: in this reader's epoch, from 0. name: what to call it in a message."""

    position: int
    content: bytes
    label: int
    name: str


@runtime_checkable
class Stream(Protocol):
    """Images that can only be read one after another. `classes` names the labels."""

    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def length(self, rank: int = 0, world: int = 1) -> int:
        """How many images one of `world` readers gets in an epoch."""
        ...

    def read(
        self,
        seed: int | None,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> Iterator[StreamItem]:
        """One epoch from `start` on, in an order drawn from (seed, epoch), or in the source's own without a seed."""
        ...

    def state_at(self, position: int) -> dict[str, Any]:
        """What a later `read(..., start=position, state=...)` can begin with at once."""
        ...


class ArrayImages:
    """Images in memory, uint8: grey ones (n, height, width), or in colour (n, height, width, 3)."""

    def __init__(self, pixels: Pixels, labels: Labels, source: str) -> None:
        self.pixels, self.labels, self.source = pixels, labels, source

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])

    def content(self, index: int) -> None:
        return None

    def name(self, index: int) -> str:
        return f"{self.source}[{index}]"


class FileImages:
    """Images in files."""

    def __init__(self, paths: list[Path], labels: Labels) -> None:
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> Opened:
        return read_image(self.paths[index])

    def content(self, index: int) -> bytes:
        return read_bytes(self.paths[index])

    def name(self, index: int) -> str:
        return str(self.paths[index])


class ParquetImages:
    """Encoded images in the rows of parquet files: a column of {bytes, path}, Hugging Face's image layout."""

    def __init__(self, path: Path, column: Any, labels: Labels) -> None:
        self.path, self.labels = path, labels
        self._encoded = column.flatten()[column.type.get_field_index("bytes")]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Opened:
        return open_image(self.content(index), self.name(index))

    def content(self, index: int) -> bytes:
        content: bytes | None = self._encoded[index].as_py()
        if not content:
            raise DataError(f"{self.name(index)}: no image bytes in this row", hint=ADVICE)
        return content

    def name(self, index: int) -> str:
        return f"{self.path}[{index}]"


class Subset:
    """Some of the images of a collection."""

    def __init__(self, whole: ImageCollection, indices: Labels) -> None:
        self.whole, self.indices = whole, indices
        self.labels = whole.labels[indices]

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> Opened:
        return self.whole.image(int(self.indices[index]))

    def content(self, index: int) -> bytes | None:
        return self.whole.content(int(self.indices[index]))

    def name(self, index: int) -> str:
        return self.whole.name(int(self.indices[index]))


class Joined:
    """Several collections as one, each after the other."""

    def __init__(self, parts: Sequence[ImageCollection]) -> None:
        self.parts = tuple(parts)
        self.labels = np.concatenate([part.labels for part in parts])
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Opened:
        part, within = self._find(index)
        return part.image(within)

    def content(self, index: int) -> bytes | None:
        part, within = self._find(index)
        return part.content(within)

    def name(self, index: int) -> str:
        part, within = self._find(index)
        return part.name(within)

    def _find(self, index: int) -> tuple[ImageCollection, int]:
        """The part that holds the image, and its position there."""
        at = int(np.searchsorted(self._ends, index, side="right"))
        part = self.parts[at]
        return part, int(index - self._ends[at]) + len(part)


class Wrapped:
    """The images of a collection, for those that know more about them."""

    def __init__(self, whole: ImageCollection) -> None:
        self.whole, self.labels = whole, whole.labels

    def __len__(self) -> int:
        return len(self.whole)

    def image(self, index: int) -> Opened:
        return self.whole.image(index)

    def content(self, index: int) -> bytes | None:
        return self.whole.content(index)

    def name(self, index: int) -> str:
        return self.whole.name(index)


class Kept(Wrapped):
    """A collection that many trainings read: the pixels of an image prepared for one network size are remembered, up
    to `limit_bytes` of them, so that it is decoded and resized once and not once per epoch. When room runs out,
    pixels prepared for other sizes are dropped."""

    def __init__(self, whole: ImageCollection, limit_bytes: int) -> None:
        super().__init__(whole)
        self.limit_bytes = limit_bytes
        self._kept: dict[Hashable, dict[int, Pixels]] = {}
        self._bytes = 0
        self._whole: tuple[Hashable, Any] = (None, None)

    def pixels(self, index: int, how: Hashable, make: Callable[[], Pixels]) -> Pixels:
        """What `make` gives for this image when prepared as `how` says, made once; not to be written to."""
        mine = self._kept.setdefault(how, {})
        if (found := mine.get(index)) is None:
            found = make()
            if self._bytes + found.nbytes > self.limit_bytes:
                self._kept = {how: mine}
                self._bytes = sum(one.nbytes for one in mine.values())
            if self._bytes + found.nbytes <= self.limit_bytes:
                mine[index] = found
                self._bytes += found.nbytes
        return found

    def together(self, how: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives for all images prepared as `how` says; kept until another way is asked for."""
        if self._whole[0] != how:
            self._whole = (None, None)
            self._whole = (how, make())
            if self._whole[1] is not None:  # it takes the place of the pixels that it was made of
                self._bytes -= sum(one.nbytes for one in self._kept.pop(how, {}).values())
        found: T = self._whole[1]
        return found


def steps_per_epoch(images: ImageCollection | Stream, batch: int, world: int = 1) -> int:
    """Whole batches in an epoch of `world` processes together, at least one."""
    if isinstance(images, Stream) and world > 1:
        return max(1, min(images.length(rank, world) for rank in range(world)) // (batch // world))
    return max(1, len(images) // batch)
