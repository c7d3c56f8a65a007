"""A real server on a free port of this machine, in a thread, and images to send to it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from PIL import Image

from convscale.data.images import Pixels
from convscale.deploy.serving.application import application
from convscale.deploy.serving.limits import Limits
from convscale.deploy.serving.predicting import Predictor, Question
from convscale.deploy.serving.running import LOCAL, Server, address_of, listen
from convscale.errors import DataError
from convscale.evaluation.ranking import Ranked


def png(seed: int, *shape: int) -> bytes:
    """A PNG of its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, shape or (20, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class Echo:
    """Needs no images: a body is a whole number, or none and unreadable, and so is the name of its one class. 13 fails.
    Each batch takes `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches, self.facts = seconds, [], {"network": 'a "b"\n\\c'}
        self.batches: list[list[int]]

    def read(self, content: bytes, name: str, max_pixels: int) -> Pixels:
        if not content.strip().isdigit():
            raise DataError(f"{name}: no number")
        return np.array([int(content)], np.uint8)

    def answer(self, questions: Sequence[Question]) -> list[Ranked]:
        time.sleep(self.seconds)
        numbers = [int(one.pixels[0]) for one in questions]
        self.batches.append(numbers)
        if 13 in numbers:
            raise ArithmeticError("thirteen")
        return [((str(number), 1.0),) * one.top for number, one in zip(numbers, questions, strict=True)]


@contextmanager
def serving(predictor: Predictor, limits: Limits | None = None, **options: Any) -> Iterator[httpx.Client]:
    """A client of a server of the predictor."""
    limits = limits or Limits()
    with listen(LOCAL, 0) as listening, httpx.Client(timeout=60, trust_env=False) as client:
        client.base_url = httpx.URL(address_of(listening))
        server = Server(application(predictor, limits, **options), limits)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield client
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
