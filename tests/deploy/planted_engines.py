"""Engines that are planted, and times that are told: no test's outcome hangs on a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from convscale.deploy import choosing
from convscale.deploy.engines import ENGINES, Dtype, Engine, EngineKind
from convscale.deploy.engines.eager import EagerEngine
from convscale.deploy.engines.protocol import Floats
from convscale.deploy.timing import Timing
from convscale.nn import Model

Change = Callable[[Floats], Floats]


@dataclass
class Planted:
    """The plain module, whose logits `change` makes something of."""

    name: str
    dtype: Dtype
    threads: int
    inner: Engine
    change: Change

    def __call__(self, images: Floats) -> Floats:
        return self.change(self.inner(images))


def kind(name: str, change: Change = np.copy, dtypes: tuple[Dtype, ...] = ("float32",)) -> EngineKind:
    """An engine whose logits are those of the plain module, changed."""

    def opened(model: Model, threads: int, dtype: Dtype) -> Engine:
        return Planted(name, dtype, threads, EagerEngine(model, threads, "float32"), change)

    return EngineKind(name, opened, dtypes)


def only(monkeypatch: pytest.MonkeyPatch, *kinds: EngineKind) -> None:
    """`eager` and these are all engines that there are."""
    for name in list(ENGINES):
        if name != "eager":
            monkeypatch.delitem(ENGINES, name)
    for one in kinds:
        monkeypatch.setitem(ENGINES, one.name, one)


def timing(median_ms: float, spread: float = 0.01, busy: bool = False) -> Timing:
    """Of 100 batches whose 10th and 90th percentile lie `spread` of the median apart on each side."""
    low, high = median_ms * (1 - spread), median_ms * (1 + spread)
    return Timing(median_ms, low, high, median_ms, 100, 5.0, 2.0 if busy else 1.0)


def told(monkeypatch: pytest.MonkeyPatch, times: Mapping[str, Timing]) -> list[set[str]]:
    """Engines take the `times` of their names; what was timed together, time after time."""
    timed: list[set[str]] = []

    def interleaved(calls: Mapping[str, Callable[[], object]], **_: object) -> dict[str, Timing]:
        for call in calls.values():
            call()
        timed.append(set(calls))
        return {name: times[name] for name in calls}

    monkeypatch.setattr(choosing, "interleaved", interleaved)
    return timed
