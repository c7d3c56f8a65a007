"""The search held against a full grid of real trainings (tests/fixtures/recorded_grid.json, made by
bench/recorded_grid.py): it asks the table where it would train."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.networks import ConvNet
from convscale.records import Candidate, CoefficientSearch
from convscale.search.coefficients import Candidates, actual_shares, search_coefficients
from convscale.search.coefficients import settings as search_settings
from convscale.search.questions import Outcome, Question
from convscale.statistics import paired_difference

TABLE = Path(__file__).parents[1] / "fixtures" / "recorded_grid.json"
REPETITIONS = 20

Accuracies = dict[tuple[float, ...], dict[int, dict[int, float]]]  # shares -> steps -> seed -> accuracy


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(TABLE.read_text())
    return loaded


@pytest.fixture(scope="module")
def baseline(table: dict[str, Any]) -> ConvNet:
    return cs.network(table["baseline"]).at_resolution(table["resolution"])


@pytest.fixture(scope="module")
def trained(table: dict[str, Any], baseline: ConvNet) -> Candidates:
    """The networks that were trained. The planner may find others of this cost today, of which nothing is recorded."""
    found = []
    for one in table["trained"]:
        scaling = cs.Scaling(*one["scaling"])
        network = cs.scale(baseline, scaling)
        macs = cs.cost(network).macs
        actual = actual_shares(baseline, scaling)
        ratio = macs / cs.cost(baseline).macs
        found.append(Candidate(tuple(one["shares"]), actual, scaling, network, macs, ratio))
    return Candidates(tuple(found), (), 0)


@pytest.fixture(autouse=True)
def searched(monkeypatch: pytest.MonkeyPatch, trained: Candidates) -> None:
    """Searches choose from the networks that were trained."""
    monkeypatch.setattr(search_settings, "candidates_at_cost", lambda *_, **__: trained)


@pytest.fixture(scope="module")
def grid(table: dict[str, Any], trained: Candidates) -> dict[ConvNet, dict[int, dict[int, tuple[float, float]]]]:
    """network -> steps -> seed -> (accuracy, device-seconds)."""
    networks = {one.shares: one for one in trained.found}
    rows: dict[ConvNet, dict[int, dict[int, tuple[float, float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in table["rows"]:
        candidate = networks[tuple(row["shares"])]
        assert candidate.macs == row["macs"]
        rows[candidate.network][row["steps"]][row["seed"]] = row["accuracy"], row["device_seconds"]
    assert set(rows) == {one.network for one in trained.found}
    return rows


def test_the_table_is_whole(table: dict[str, Any], grid: Any) -> None:
    seeds = sorted({row["seed"] for row in table["rows"]})
    assert len(seeds) >= 3 and len({row["steps"] for row in table["rows"]}) >= 2
    assert all(sorted(by_seed) == seeds for by_steps in grid.values() for by_seed in by_steps.values())
    assert all(0.1 < row["accuracy"] < 1 for row in table["rows"])


def _search(baseline: ConvNet, table: dict[str, Any], grid: Any, repetition: int) -> CoefficientSearch:
    seeds = sorted({row["seed"] for row in table["rows"]})
    drawn = random.Random(repetition).sample(seeds, len(seeds))  # which recorded training stands for which seed

    def ask(questions: Any) -> list[Outcome]:
        return [_recorded(question) for question in questions]

    def _recorded(question: Question) -> Outcome:
        accuracy, seconds = grid[question.network][question.steps][drawn[question.seed - repetition]]
        return Outcome(accuracy, seconds)

    return search_coefficients(
        baseline,
        ask,
        lengths=sorted({row["steps"] for row in table["rows"]}),
        cost=table["cost"],
        share_step=table["share_step"],
        final_seeds=len(seeds),
        seeds=min(3, len(seeds)),
        seed=repetition,
    )


def test_the_pick_is_within_noise_of_the_best_for_a_quarter_of_the_full_grid(
    baseline: ConvNet, table: dict[str, Any], grid: Any
) -> None:
    longest = max(row["steps"] for row in table["rows"])
    full = {network: {seed: one[0] for seed, one in by[longest].items()} for network, by in grid.items()}
    best = max(full, key=lambda network: sum(full[network].values()))
    whole_seconds = sum(one[1] for by in grid.values() for one in by[longest].values())
    for repetition in range(REPETITIONS):
        found = _search(baseline, table, grid, repetition)
        picked = found.best.candidate.network
        assert not paired_difference(full[best], full[picked]).certain(), (repetition, found.best.candidate.shares)
        assert found.share_of_full_grid <= 0.25
        assert found.device_seconds <= 0.3 * whole_seconds
