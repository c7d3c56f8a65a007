"""Probabilities as classes, most probable first."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

Ranked = tuple[tuple[str, float], ...]  # classes and probabilities, most probable first


def ranked(probabilities: Tensor, classes: Sequence[str], top: int) -> list[Ranked]:
    """(n, classes) -> the `top` most probable classes of each row, all of them where there are fewer."""
    found = probabilities.topk(min(top, len(classes)))
    rows = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return [tuple((classes[index], value) for index, value in zip(*row, strict=True)) for row in rows]
