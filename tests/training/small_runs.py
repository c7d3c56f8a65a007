"""The small network, recipes and runs that the tests of training share, and processes that kill themselves in a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import convscale as cs
from convscale.data import Dataset
from convscale.data.images import Subset
from convscale.recipes import LBFGS, Augmentation, Recipe, RMSProp, SearchGrid, Staircase
from convscale.runs import Run
from convscale.training.step import Outcome, Stepper

_SMALL = cs.network("small-mbconv")
NETWORK = replace(_SMALL, resolution=12, input_channels=1, stages=_SMALL.stages[:2])
IMAGES = 90  # 72 to train on: 4 steps an epoch, the last images of each left out
FULL = bool(os.environ.get("CONVSCALE_FAULTS"))  # `make faults`: as often as docs/reliability.md says

# Everything random and every kind of state at once.
LIVELY = Recipe(
    note="a test", epochs=3, batch=16, learning_rate=0.02, warmup_epochs=0.5, weight_decay=1e-4, label_smoothing=0.1,
    ema_decay=0.99, dropout=0.2, drop_path=0.3, accumulation=2, gradient_clip=2.0, optimizer=RMSProp(),
    schedule=Staircase(0.9, 0.7),
    augmentation=Augmentation(crop="resized", flip=True, policy="autoaugment", erasing=0.3, mixup=0.2, cutmix=1.0),
)  # fmt: skip
TUNE = Recipe(
    note="a test", epochs=4, batch=16, learning_rate=0.02, warmup_epochs=1, head_epochs=1, layer_decay=0.5,
    norm_statistics="frozen", augmentation=Augmentation(crop="shift"),
)  # fmt: skip
PROBE = Recipe(
    note="a test", epochs=1, batch=16, learning_rate=1, weight_decay=0.01, trainable="head", optimizer=LBFGS(),
    search=SearchGrid(weight_decays=(1, 0.1, 0.01)),
)  # fmt: skip


def few(images: int = 120, tests: int = 60, classes: int = 5) -> Dataset:
    """Digits below `classes`."""
    data = cs.open_dataset("digits")

    def some(part: Any, count: int) -> Subset:
        return Subset(part, np.flatnonzero(part.labels < classes)[:count])

    names = data.classes[:classes]
    return replace(data, train=some(data.train, images), test=some(data.test, tests), classes=names)


def trained(photos: Path, run: Path, recipe: Recipe = LIVELY, **settings: Any) -> None:
    cs.train(NETWORK, photos, recipe, run, quiet=True, **{"seed": 3, "pictures": False} | settings)


def tuned(weights: Path, run: Path, recipe: Recipe, data: Dataset | None = None, **settings: Any) -> cs.Evaluation:
    settings = {"weights": str(weights), "pictures": False} | settings
    return cs.train(NETWORK, data or few(), recipe, run, quiet=True, **settings)[1]


def state_of(run: Path) -> str:
    result = Run(run).result()
    assert result is not None
    return result.state_sha256


def tensors(run_or_file: Path) -> dict[str, torch.Tensor]:
    return cs.load(run_or_file).state_dict()


def same_weights(one: Path, other: Path) -> bool:
    (a, header), (b, same) = (cs.load_weights(Run(run).weights) for run in (one, other))
    tensors = a.state_dict(), b.state_dict()
    return header == same and all(torch.equal(value, tensors[1][key]) for key, value in tensors[0].items())


def forked(work: Callable[[], None], timeout: float = 60) -> int:
    """Do `work` in a process of its own; its exit code, negative for a signal, as multiprocessing says it."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(timeout)
    assert process.exitcode is not None, "still running"
    return process.exitcode


def killing_itself(when: str, at: int, work: Callable[[], None]) -> Callable[[], None]:
    """`work`, in which the process kills itself with SIGKILL before or after the update of step `at`, from 0."""

    def child() -> None:
        take = Stepper.take

        def fatal(self: Stepper, batch: Any) -> Outcome:
            now = self.state.position.total_steps == at
            if now and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            outcome = take(self, batch)
            if now and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        Stepper.take = fatal  # type: ignore[method-assign]
        work()

    return child
