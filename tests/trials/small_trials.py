"""Small trials on the digits, and what is read of a study that ran them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale.records import DataChoice
from convscale.trials.trial import Trial, TrialRecord

optuna = pytest.importorskip("optuna")

FAULTS = bool(os.environ.get("CONVSCALE_FAULTS"))


def trials(count: int) -> list[Trial]:
    network, recipe = cs.network("small-mbconv").at_resolution(16), cs.recipe("digits")
    return [Trial(network=network, recipe=recipe, data=DataChoice(source="digits"), seed=seed) for seed in range(count)]


def short(epochs: int = 3) -> Trial:
    (trial,) = trials(1)
    data = DataChoice(source="digits", train_images=320, test_images=100)
    return replace(trial, recipe=trial.recipe.with_changes(epochs=epochs), data=data)


def accuracies(records: list[TrialRecord]) -> list[float | None]:
    return [record.result.accuracy if record.result else None for record in records]


def wait_for(happens: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def stored(folder: Path) -> list[optuna.trial.FrozenTrial]:
    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/study.sqlite")
    found = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/study.sqlite").get_trials()
    return [trial for trial in found if "convscale_key_ended" in trial.user_attrs]
