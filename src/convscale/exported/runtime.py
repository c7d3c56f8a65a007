"""What a runtime is: an exported file that computes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Runtime(Protocol):
    """An exported file, opened. It belongs to the thread that opened it."""

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself; empty for formats that keep nothing."""
        ...

    def __call__(self, inputs: NDArray[Any]) -> Floats:
        """Images (n, c, h, w), C-contiguous, of the type that the file takes -> logits (n, classes) of their own."""
        ...


def owned(logits: Any) -> Floats:
    """A copy, which no runtime can free or write over."""
    return np.array(logits, dtype=np.float32, copy=True)
