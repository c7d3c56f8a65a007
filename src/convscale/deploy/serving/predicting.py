"""A network that answers: images to pixels, one by one, and batches of pixels to classes, as `predict` does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from convscale.data.images import Pixels
from convscale.data.reading import open_image
from convscale.data.transforms import evaluation_view_of
from convscale.deploy.compilation import AUTO, compile
from convscale.deploy.compiled import CompiledNetwork
from convscale.deploy.engines.exported import has_engine
from convscale.deploy.normalising import unchanged, with_preprocessing
from convscale.errors import DataError, RunError
from convscale.evaluation.ranking import Ranked, ranked
from convscale.nn import keep_memory
from convscale.version import __version__

USUAL_BATCH = 8  # of a server that has something to do: what engine "auto" is chosen by


class Question(NamedTuple):
    """An image as the network sees it, (channels, size, size) uint8, and how many classes are asked for."""

    pixels: Pixels
    top: int


class Predictor(Protocol):
    """What a server needs of a network."""

    @property
    def facts(self) -> dict[str, str]:
        """What it is, for people and for monitoring."""
        ...

    def read(self, content: bytes, name: str, max_pixels: int) -> Pixels:
        """An encoded image as the network sees it. Raises DataError."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[Ranked]:
        """The most probable classes of each image."""
        ...


class ServedNetwork:
    """A network in an engine, which belongs to the thread that made it, but for `read`. Raises RunError where its
    classes or its preprocessing are not known."""

    def __init__(self, compiled: CompiledNetwork) -> None:
        if compiled.preprocessing is None or not compiled.classes:
            raise RunError(
                f"{compiled.network}: its classes and its preprocessing are not known",
                hint="convscale export writes them into the file",
            )
        self.compiled, self.preprocessing, self.classes = compiled, compiled.preprocessing, compiled.classes
        self._prepare = unchanged if compiled.takes_pixels else with_preprocessing(compiled.preprocessing)
        self.facts = {
            "network": compiled.network,
            "classes": str(len(compiled.classes)),
            "engine": compiled.engine,
            "dtype": compiled.dtype,
            "threads": str(compiled.threads),
            "version": __version__,
        }

    def read(self, content: bytes, name: str, max_pixels: int) -> Pixels:
        """(channels, size, size) uint8. Raises DataError for what cannot be read, and for more than `max_pixels`,
        which its header says before it is decoded."""
        width, height = open_image(content, name).size
        if width * height > max_pixels:
            raise DataError(f"{name}: more than {max_pixels:,} pixels", hint="shrink the image first")
        return evaluation_view_of(content, name, self.preprocessing)

    def answer(self, questions: Sequence[Question]) -> list[Ranked]:
        """The most probable classes of each image. Raises ArithmeticError where a probability is not finite."""
        logits = self.compiled.logits(self._prepare(np.stack([one.pixels for one in questions])))
        probabilities = torch.from_numpy(logits).softmax(1)
        if not torch.isfinite(probabilities).all():
            raise ArithmeticError("the network's answer is not finite")
        rows = ranked(probabilities, self.classes, max(one.top for one in questions))
        return [row[: one.top] for row, one in zip(rows, questions, strict=True)]


def serve_network(source: Path, engine: str | None = None, threads: int = 1) -> ServedNetwork:
    """The network of a run, a weights file or an exported file in an engine, on `threads` threads; by default a file's
    own, else eager. Raises as `compile` does."""
    keep_memory()
    named = engine or (AUTO if has_engine(source) else "eager")
    served = ServedNetwork(compile(source, named, threads=threads, batch=USUAL_BATCH))
    side = served.preprocessing.size
    served.answer([Question(np.zeros((served.preprocessing.channels, side, side), np.uint8), 1)])  # the first is slow
    return served
