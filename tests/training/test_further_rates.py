"""Searches that go beyond their rates, and what is said of values that won at an end; accuracies are planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import NotFiniteError, TrainingStopped
from convscale.nn.processes import Processes
from convscale.recipes import Recipe, SearchGrid, tuning_rate
from convscale.records import Evaluation, SearchRow
from convscale.report.runs import run_facts
from convscale.report.searches import outermost
from convscale.runs import Run
from convscale.training.job import Job, Settings
from convscale.training.setup import make_job
from convscale.training.tuning import with_choice
from tests.evaluation.small_evaluations import evaluation
from tests.training.small_runs import NETWORK, PROBE, TUNE, few, tuned

GRID = SearchGrid(learning_rates=(0.02, 0.01, 0.04), weight_decays=(0.0, 1e-4), share=0.25)


class Planted:
    """In place of training: the nearer to `best` the learning rate, the better; above `limit` it fails."""

    def __init__(self, best: float, limit: float = 1000.0, stop_at: int = 1000) -> None:
        self.best, self.limit, self.stop_at = best, limit, stop_at
        self.tried: list[tuple[float, float]] = []

    def __call__(self, job: Job) -> Evaluation:
        rate = job.recipe.learning_rate
        if len(self.tried) == self.stop_at:
            raise TrainingStopped("planted")
        self.tried.append((rate, job.recipe.weight_decay))
        if rate > self.limit:
            raise NotFiniteError("planted")
        return evaluation(0.9 - abs(rate - self.best))


def search(folder: Path, recipe: Recipe, planted: Planted, capsys: Any = None) -> Recipe:
    run = Run(folder)
    folder.mkdir(exist_ok=True)
    job = make_job(NETWORK, few(), recipe, run, Settings(), quiet=capsys is None)
    return with_choice(job, Processes(), planted).recipe
