"""What an engine is: a network that runs, on so many threads, in numbers of one kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from convscale.errors import MissingExtraError
from convscale.records import ComputedIn

if TYPE_CHECKING:
    from convscale.nn import Model

Dtype = ComputedIn
Floats = NDArray[np.float32]


class Engine(Protocol):
    """A network that runs. It belongs to the thread that opened it."""

    @property
    def name(self) -> str:
        """The name of its kind in ENGINES."""
        ...

    @property
    def dtype(self) -> Dtype:
        """The numbers that it computes in; images and logits are float32 whatever they are."""
        ...

    @property
    def threads(self) -> int:
        """The threads that it computes on."""
        ...

    def __call__(self, images: Floats) -> Floats:
        """(n, channels, h, w) float32, preprocessed -> logits (n, classes) float32, which own their memory."""
        ...


OpenModel = Callable[["Model", int, Dtype], Engine]


@dataclass(frozen=True, slots=True)
class EngineKind:
    """A way to run networks."""

    name: str
    open: OpenModel
    """An engine from a model, a number of threads and numbers that are among `dtypes`."""
    dtypes: tuple[Dtype, ...]
    """Numbers in which it runs a model; files may bring others."""
    packages: tuple[str, ...] = ()
    """Modules that it needs beside PyTorch."""
    extra: str = ""
    """The extra of Convscale that brings them."""
    absent: Callable[[], str] = field(default=lambda: "")
    """What else it needs that this machine has not, in a few words; "" where nothing is missing."""

    def missing_package(self) -> str | None:
        """The first of its packages that is not installed; looking does not import them."""
        return next((name for name in self.packages if find_spec(name) is None), None)

    def is_installed(self) -> bool:
        """Whether it runs here."""
        return self.missing_package() is None and not self.absent()

    def require_package(self) -> None:
        """Raise MissingExtraError where a package is missing."""
        if (package := self.missing_package()) is not None:
            raise MissingExtraError(package, self.extra, f"engine {self.name!r}")
