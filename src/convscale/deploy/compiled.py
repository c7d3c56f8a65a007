"""A network in an engine, called on images or on pixels. Nothing here brings PyTorch before an image is predicted."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from convscale.deploy.engines.protocol import Dtype, Engine, Floats
from convscale.display import Display, Displayed
from convscale.errors import ConfigError, DataError
from convscale.preprocessing import Preprocessing
from convscale.records import EngineChoice, Prediction

if TYPE_CHECKING:
    from torch import Tensor

    from convscale.evaluation.inputs import GivenImage

LOADED_AT_ONCE = 64  # images


class CompiledNetwork(Displayed):
    """A network in an engine, as `compile` gives it. It belongs to the thread that made it.

    network: its name. preprocessing, classes: None and () where weights were made up, or a file does not say.
    channels: of its images, None where a file does not say. choice: how "auto" chose the engine, None where it was
    named or nothing could be chosen. takes_pixels: whether its inputs are uint8, since a file holds the preprocessing.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        network: str,
        batch: int = 1,
        channels: int | None = None,
        preprocessing: Preprocessing | None = None,
        classes: tuple[str, ...] = (),
        choice: EngineChoice | None = None,
        takes_pixels: bool = False,
    ) -> None:
        self._engine, self._batch = engine, batch
        self.network, self.channels, self.takes_pixels = network, channels, takes_pixels
        self.preprocessing, self.classes, self.choice = preprocessing, classes, choice

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._engine.name

    @property
    def dtype(self) -> Dtype:
        """The numbers that it computes in."""
        return self._engine.dtype

    @property
    def threads(self) -> int:
        """The threads that it computes on."""
        return self._engine.threads

    def __call__(
        self, images: Floats | Tensor | GivenImage | Sequence[GivenImage], *, top: int = 5
    ) -> Floats | Tensor | list[Prediction]:
        """Of an array or tensor (n, channels, h, w): its `logits`, a tensor of a tensor. Of images: their `predict`."""
        if (tensor := _as_tensor(images)) is not None:
            import torch

            return torch.from_numpy(self.logits(tensor.detach().cpu().numpy()))
        if isinstance(images, np.ndarray) and images.ndim == 4:
            return self.logits(images)
        return self.predict(cast("GivenImage | Sequence[GivenImage]", images), top=top)

    def logits(self, pixels: Floats) -> Floats:
        """Preprocessed images (n, channels, h, w), float32, -> logits (n, classes) float32, of their own memory.

        Where `takes_pixels`, the values are 0 to 255 as uint8. Raises DataError for other shapes and numbers.
        """
        kind = np.uint8 if self.takes_pixels else np.float32
        right = pixels.dtype == np.uint8 if self.takes_pixels else np.issubdtype(pixels.dtype, np.floating)
        if pixels.ndim != 4 or not len(pixels) or not right or self.channels not in (None, pixels.shape[1]):
            wanted = f"(n, {self.channels or 'channels'}, height, width) of {np.dtype(kind)}"
            raise DataError(f"pixels of shape {pixels.shape}, {pixels.dtype}, are not {wanted}")
        return self._engine(pixels.astype(kind, copy=False))

    def predict(
        self,
        images: GivenImage | Sequence[GivenImage],
        *,
        top: int = 5,
        on_unreadable: Literal["raise", "keep"] = "raise",
    ) -> list[Prediction]:
        """The `top` most probable classes of each image, as `predict` of a run gives them for the same images.

        Raises ConfigError where the classes or the preprocessing are not known, DataError as `predict` does.
        """
        if top < 1:
            raise ConfigError(f"top {top} is not allowed", hint="at least 1")
        if self.preprocessing is None or not self.classes:
            raise ConfigError(
                f"{self.network}: its classes and its preprocessing are not known",
                hint="compile a run or a weights file, or call it on preprocessed pixels (n, channels, h, w)",
            )
        from convscale.data.loader import evaluation_batches
        from convscale.evaluation.inputs import given_images
        from convscale.evaluation.predictor import predictions_by
        from convscale.progress import Progress

        given, _ = given_images(images)
        progress = Progress(math.ceil(len(given) / LOADED_AT_ONCE), quiet=True)
        loading = evaluation_batches(given, self.preprocessing, LOADED_AT_ONCE, named=True)
        strict = on_unreadable == "raise"
        return predictions_by(self._of_pixels, loading, self.classes, top=top, strict=strict, progress=progress)

    def _of_pixels(self, pixels: Tensor) -> Tensor:
        """(n, channels, h, w) uint8 -> logits (n, classes)."""
        import torch

        from convscale.deploy.acceptance import logits_in_batches
        from convscale.deploy.normalising import unchanged, with_preprocessing

        assert self.preprocessing is not None
        prepare = unchanged if self.takes_pixels else with_preprocessing(self.preprocessing)
        return torch.from_numpy(logits_in_batches(self._engine, pixels.numpy(), prepare, self._batch))

    def _display(self) -> Display:
        """Which engine, and what it computes."""
        rows = [("engine", self.engine), ("computes in", self.dtype), ("threads", str(self.threads))]
        if self.choice is not None and self.choice.ties:
            rows.append(("as fast", ", ".join(self.choice.ties)))
        return Display(f"CompiledNetwork of {self.network}", rows=tuple(rows))


def _as_tensor(images: Any) -> Tensor | None:
    """The tensor that it is, if it is one; asking does not import PyTorch, without which there is none."""
    torch = sys.modules.get("torch")
    return images if torch is not None and isinstance(images, torch.Tensor) else None
