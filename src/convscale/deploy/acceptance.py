"""Whether an engine computes what the plain module does, nearly enough to be chosen in its place.

In float32 that is a matter of arithmetic. Fewer bits change the network: whether that matters only trained weights on
the user's images can say, never random ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscale.deploy.engines.protocol import Engine, Floats
from convscale.statistics import paired_difference

MAX_DIFFERENCE = 1e-3  # of float32 logits, over the largest
LEAST_AGREEMENT = 0.98  # of the most probable classes, in other numbers
LEAST_IMAGES = 50  # below which that share cannot be told from 1


@dataclass(frozen=True)
class Reference:
    """What the plain module makes of images: its logits. pixels: (n, channels, h, w), which `prepare` turns into the
    network's inputs; labels: their true classes (n,), by number; None where nobody gave them. own: whether the images
    are the user's, and the weights trained."""

    pixels: NDArray[Any]
    prepare: Callable[[NDArray[Any]], Floats]
    logits: Floats
    own: bool
    labels: NDArray[np.int64] | None = None

    def inputs(self, batch: int) -> Floats:
        """The first `batch` images, over again where there are fewer."""
        return self.prepare(np.resize(self.pixels, (batch, *self.pixels.shape[1:])))


class Verdict(NamedTuple):
    """What was found, as `EngineTrial` holds it; refused says why the engine cannot be chosen, "" where it can."""

    max_relative_difference: float
    agreement: float | None
    lost: int | None
    won: int | None
    refused: str


def logits_in_batches(
    engine: Engine, pixels: NDArray[Any], prepare: Callable[[NDArray[Any]], Floats], batch: int
) -> Floats:
    """The logits of all images, each time of `batch` of them: an engine may be made for that many."""
    rows: list[Floats] = []
    for start in range(0, len(pixels), batch):
        some = pixels[start : start + batch]
        filled = np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])
        rows.append(engine(prepare(filled))[: len(some)])
    return np.concatenate(rows)


def judged(engine: Engine, reference: Reference, batch: int) -> Verdict:
    """Compare an engine with the plain module."""
    found = logits_in_batches(engine, reference.pixels, reference.prepare, batch)
    if found.shape != reference.logits.shape or not np.isfinite(found).all():
        return Verdict(float("inf"), None, None, None, "its logits are not finite, or not those of these classes")
    largest = max(float(np.abs(reference.logits).max()), float(np.finfo(np.float32).tiny))
    difference = float(np.abs(found - reference.logits).max()) / largest
    agreement = lost = won = None
    if reference.own:
        top, expected = found.argmax(1), reference.logits.argmax(1)
        agreement = float((top == expected).mean())
        if reference.labels is not None:
            right, was_right = top == reference.labels, expected == reference.labels
            lost, won = int((was_right & ~right).sum()), int((right & ~was_right).sum())
    verdict = Verdict(difference, agreement, lost, won, "")
    return verdict._replace(refused=_refusal(engine, verdict, len(found)))


def _refusal(engine: Engine, verdict: Verdict, n: int) -> str:
    """Why it cannot be chosen."""
    if engine.dtype == "float32":
        difference = verdict.max_relative_difference
        wrong = difference > MAX_DIFFERENCE
        return f"its logits differ by {difference:.2g} of the largest, more than {MAX_DIFFERENCE:g}" if wrong else ""
    if verdict.agreement is None:
        return f"{engine.dtype} is judged on images of the user's, with trained weights"
    if n < LEAST_IMAGES:
        return f"{n} images are too few to judge {engine.dtype}: at least {LEAST_IMAGES}"
    if verdict.agreement < LEAST_AGREEMENT:
        return f"it agrees on {verdict.agreement:.1%} of the images, less than {LEAST_AGREEMENT:.0%}"
    if verdict.lost is not None and verdict.won is not None and _is_loss(verdict.lost, verdict.won, n):
        return f"it loses accuracy: {verdict.lost} of {n} images lost, {verdict.won} won"
    return ""


def _is_loss(lost: int, won: int, n: int) -> bool:
    """Whether the paired difference in accuracy is below zero for certain."""
    changes: Sequence[int] = [-1] * lost + [1] * won + [0] * (n - lost - won)
    difference = paired_difference(dict(enumerate(changes)), dict.fromkeys(range(n), 0))
    return difference.mean < 0 and difference.certain()
