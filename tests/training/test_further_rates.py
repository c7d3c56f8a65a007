"""Searches that go beyond their rates, and what is said of values that won at an end; most accuracies are planted."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale.errors import NotFiniteError, TrainingStopped
from convscale.nn.processes import Processes
from convscale.recipes import Recipe, SearchGrid, tuning_rate
from convscale.recipes.rates import FURTHER
from convscale.records import Evaluation, SearchRow
from convscale.report.runs import run_facts
from convscale.report.searches import outermost
from convscale.runs import Run
from convscale.training import estimate
from convscale.training.job import Job
from convscale.training.setup import Settings, make_job
from convscale.training.tuning import with_choice
from tests.training.small_runs import NETWORK, PROBE, TUNE, few, tuned

GRID = SearchGrid(learning_rates=(0.02, 0.01, 0.04), share=0.25)


class Planted:
    """In place of training: the nearer the learning rate is to `best`, the better; above `limit` it fails."""

    def __init__(self, best: float, limit: float = 1000.0, stop_at: int | None = None) -> None:
        self.best, self.limit, self.stop_at = best, limit, stop_at
        self.tried: list[float] = []

    def __call__(self, job: Job) -> Evaluation:
        rate = job.recipe.learning_rate
        if len(self.tried) == self.stop_at:
            raise TrainingStopped("planted", signal.SIGTERM)
        self.tried.append(rate)
        if rate > self.limit:
            raise NotFiniteError("planted")
        accuracy = 0.9 - abs(rate - self.best) - job.recipe.weight_decay
        return Evaluation(accuracy, 1.0, 30, (0.0, 1.0), ())


def search(folder: Path, recipe: Recipe, planted: Planted, *, quiet: bool = True) -> Recipe:
    folder.mkdir(exist_ok=True)
    job = make_job(NETWORK, few(), recipe, Run(folder), Settings(pictures=False), quiet=quiet)
    return with_choice(job, Processes(), planted).recipe


@pytest.mark.parametrize(
    ("best", "limit", "tried", "chosen"),
    [
        (0.15, 1000, [0.08, 0.16, 0.32], 0.16),
        (0.15, 0.1, [0.08, 0.16], 0.08),  # a failure encloses
        (0.02, 1000, [], 0.02),
        (0.004, 1000, [0.005, 0.0025], 0.005),
        (0.0, 1000, [0.005, 0.0025, 0.00125, 0.000625], 0.000625),  # FURTHER, and no more
    ],
)
def test_tuned_rates_are_enclosed(
    best: float, limit: float, tried: list[float], chosen: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(tuning_rate(replace(TUNE, learning_rate=0.02), NETWORK), weight_decay=0.0)
    planted = Planted(best, limit)
    assert search(tmp_path / "run", recipe, planted, quiet=False).learning_rate == chosen
    assert planted.tried == [0.02, 0.01, 0.04, *tried]
    said = capsys.readouterr().err
    assert f"search {3 + len(tried)}/{3 + len(tried)}: learning rate" in said
    assert ("is the smallest of the 7 tried, and a smaller one may be better" in said) == (len(tried) == FURTHER)


def test_further_rates_take_every_weight_decay_and_resume_in_a_round(tmp_path: Path) -> None:
    recipe = replace(TUNE, search=replace(GRID, weight_decays=(0.1, 0.0), further_rates=2))
    whole = Planted(0.15)
    assert search(tmp_path / "whole", recipe, whole).learning_rate == 0.16
    assert whole.tried == [rate for rate in (0.02, 0.01, 0.04, 0.08, 0.16) for _ in range(2)]
    stopped, rest = Planted(0.15, stop_at=7), Planted(0.15)
    with pytest.raises(TrainingStopped):
        search(tmp_path / "run", recipe, stopped)
    assert search(tmp_path / "run", recipe, rest) == Run(tmp_path / "whole").recipe()
    assert stopped.tried + rest.tried == whole.tried
    assert [(row.learning_rate, row.weight_decay) for row in Run(tmp_path / "run").searched()][-3:] == [
        (0.08, 0.0), (0.16, 0.1), (0.16, 0.0),
    ]  # fmt: skip


def test_rates_that_someone_wrote_are_tried_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rates in (GRID.learning_rates, (0.01, 0.02, 0.04, 0.04)):
        planted = Planted(0.15)
        run = tmp_path / str(len(rates))
        chosen = search(run, replace(TUNE, search=replace(GRID, learning_rates=rates)), planted, quiet=False)
        assert chosen.learning_rate == 0.04 and set(planted.tried) == {0.01, 0.02, 0.04}
        note = "learning rate 0.04 is the greatest of the 3 tried, and a greater one may be better: --set search."
        assert f"{note}learning_rates=[...]" in capsys.readouterr().err
        events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
        assert any(event.startswith(note) for event in events)


def rows(*found: tuple[float, float, float | None]) -> list[SearchRow]:
    return [SearchRow(rate, decay, accuracy, 30, 1.0) for rate, decay, accuracy in found]


def test_what_won_at_an_end_is_named() -> None:
    def said(recipe: Recipe, found: list[SearchRow]) -> list[str]:
        return [text.split(", and")[0] for text in outermost(found, recipe)]

    recipe = replace(TUNE, learning_rate=0.1, weight_decay=1e-3)
    both = rows((0.1, 1e-4, 0.5), (0.1, 1e-3, 0.7), (0.2, 1e-4, 0.6), (0.2, 1e-3, 0.6))
    assert said(recipe, both) == [
        "learning rate 0.1 is the smallest of the 2 tried", "weight decay 0.001 is the greatest of the 2 tried",
    ]  # fmt: skip
    assert said(recipe, rows((0.05, 1e-3, None), (0.1, 1e-3, 0.7), (0.2, 1e-3, None))) == []
    assert said(recipe, rows((0.1, 1e-3, 0.7))) == [] and said(recipe, []) == []
    assert said(replace(recipe, weight_decay=0.0), rows((0.1, 0.0, 0.7), (0.1, 1e-3, 0.6))) == []  # none is below 0
    assert said(recipe, rows((0.1, 1e-3, 1.0), (0.2, 1e-3, 0.6))) == []  # nothing is better than all
    assert said(replace(recipe, learning_rate=0.3), both) == []  # was chosen otherwise
    assert said(replace(recipe, search=GRID), both) == []  # is not chosen yet
    over = rows((0.1, 0.01, 0.7), (0.1, 0.001, 0.8), (0.1, 0.1, 0.2), (0.05, 0.02, 0.1), (0.05, 0.002, 0.2))
    assert said(recipe, over) == [
        "learning rate 0.1 is the greatest of the 2 tried", "weight decay 0.001 is the smallest of the 3 tried",
    ]  # fmt: skip


def test_a_probe_and_its_run_say_so(tmp_path: Path, weights: Path) -> None:
    tuned(weights, tmp_path / "run", replace(PROBE, search=SearchGrid(weight_decays=(5.0, 10.0))))
    run = Run(tmp_path / "run")
    note = "weight decay 5 is the smallest of the 2 tried, and a smaller one may be better"
    assert note in (run.path / "events.jsonl").read_text()
    assert any(label == "recipe" and note in text for label, text in run_facts(run))
    assert note in " ".join((run.path / "README.md").read_text().split())


def test_an_estimate_says_what_further_rates_may_take() -> None:
    recipe = replace(TUNE, search=replace(GRID, weight_decays=(0.0, 1e-4)))
    plain, further = (estimate(NETWORK, few(), replace(recipe, search=one)) for one in (
        recipe.search, replace(recipe.search, further_rates=3),
    ))  # fmt: skip
    assert plain.further_seconds == 0 and not any("further" in line for line in plain.lines())
    share = further.steps * further.step_seconds * 0.75 + further.evaluation_seconds
    assert further.further_seconds == pytest.approx(3 * 2 * share)
    assert any(line.startswith("further    up to ") for line in further.lines())
    with pytest.raises(cs.ConfigError, match="further_rates -1"):
        recipe.with_settings(["search.further_rates=-1"])
    with pytest.raises(cs.ConfigError, match="further_rates 3 cannot be combined with decay_over_rate"):
        recipe.with_settings(["search.further_rates=3", "search.decay_over_rate=true"])
