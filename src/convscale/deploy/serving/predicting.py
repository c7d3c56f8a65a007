"""A network that answers: images to pixels, one by one, and batches of pixels to classes, as `predict` does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from convscale.data.images import Pixels
from convscale.data.loader import Normalise
from convscale.data.reading import open_image
from convscale.data.transforms import evaluation_view_of
from convscale.deploy.engines import Engine, open_engine
from convscale.errors import DataError
from convscale.evaluation.ranking import Ranked, ranked
from convscale.nn import keep_memory, load_weights
from convscale.preprocessing import Preprocessing
from convscale.runs import weights_file
from convscale.version import __version__


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


@dataclass(frozen=True, slots=True)
class ServedNetwork:
    """A network in an engine, with its preprocessing and its classes. It belongs to the thread that made it, but for
    `read`."""

    engine: Engine
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    facts: dict[str, str]
    normalise: Normalise

    def read(self, content: bytes, name: str, max_pixels: int) -> Pixels:
        """(channels, size, size) uint8. Raises DataError for what cannot be read, and for more than `max_pixels`,
        which its header says before it is decoded."""
        width, height = open_image(content, name).size
        if width * height > max_pixels:
            raise DataError(f"{name}: more than {max_pixels:,} pixels", hint="shrink the image first")
        return evaluation_view_of(content, name, self.preprocessing)

    @torch.inference_mode()
    def answer(self, questions: Sequence[Question]) -> list[Ranked]:
        """The most probable classes of each image. Raises ArithmeticError where a probability is not finite."""
        pixels = torch.stack([torch.from_numpy(one.pixels) for one in questions])
        logits = self.engine(self.normalise(pixels).numpy())
        probabilities = torch.from_numpy(logits).softmax(1)
        if not torch.isfinite(probabilities).all():
            raise ArithmeticError("the network's answer is not finite")
        rows = ranked(probabilities, self.classes, max(one.top for one in questions))
        return [row[: one.top] for row, one in zip(rows, questions, strict=True)]


def serve_network(run_or_file: Path, engine: str = "eager", threads: int = 1) -> ServedNetwork:
    """The network of a run or a weights file in an engine of ENGINES, on `threads` threads. Raises RunError, and as
    `open_engine` does."""
    keep_memory()
    model, header = load_weights(weights_file(run_or_file))
    opened = open_engine(engine, model, threads=threads)
    facts = {
        "network": header.network.name,
        "classes": str(len(header.classes)),
        "engine": opened.name,
        "dtype": opened.dtype,
        "threads": str(opened.threads),
        "version": __version__,
    }
    preprocessing = header.preprocessing
    normalise = Normalise(preprocessing, torch.device("cpu"))
    served = ServedNetwork(opened, preprocessing, header.classes, facts, normalise)
    blank = np.zeros((preprocessing.channels, preprocessing.size, preprocessing.size), np.uint8)
    served.answer([Question(blank, 1)])  # the first call is slow
    return served
