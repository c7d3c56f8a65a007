"""Halving: little is spent on what is not best, and short trainings are trusted only where they may be."""

from __future__ import annotations

from dataclasses import replace

import pytest

import convscale as cs
from convscale.search.coefficients import search_coefficients
from convscale.search.coefficients.candidates import share_distance
from convscale.search.coefficients.halving import best_of, survivors
from convscale.search.coefficients.halving_plan import HalvingPlan, affordable_halving, affordable_probe, far_apart
from convscale.search.questions import Outcome, Question, evaluator_of
from convscale.statistics import paired_difference
from tests.search.planted import LENGTHS, candidates, nearest, search, towards

pytestmark = pytest.mark.usefixtures("planned_once")


@pytest.mark.parametrize("bias", [0.5, 0.8])
def test_where_short_trainings_mislead_halving_starts_later_and_finds_the_optimum(bias: float) -> None:
    best = (1 / 3, 1 / 3, 1 / 3)
    evaluate = towards(best, width_bias=bias)
    found = search(evaluate)
    assert found.first_length > LENGTHS[0]
    assert all((found.trusted[steps] or 0) < 0.7 for steps in found.trusted if steps < found.first_length)
    assert found.best.candidate.actual == nearest(best)
    assert set(found.best.accuracies) >= set(LENGTHS[1:])
    # The same search that trusts blindly does not find it: the check is what saves it.
    blind = search(evaluate, trust=-1.0)
    assert blind.first_length == LENGTHS[0]
    assert blind.best.candidate.actual != nearest(best)


@pytest.mark.parametrize("bias", [0.1, 0.2, 0.3])
def test_where_short_trainings_lean_a_little_the_optimum_is_still_a_step_away_at_most(bias: float) -> None:
    best = (1 / 3, 1 / 3, 1 / 3)
    found = search(towards(best, width_bias=bias))
    assert share_distance(found.best.candidate.actual, nearest(best)) <= 0.25


def test_an_order_that_changes_between_lengths_is_reported() -> None:
    moved = search(towards((1 / 3, 1 / 3, 1 / 3), width_bias=0.5)).order
    assert moved.swapped > 0
    assert moved.best_changes
    steady = search(towards((1 / 3, 1 / 3, 1 / 3))).order
    assert (steady.swapped, steady.best_changes) == (0, False)


def test_a_flat_objective_tells_nothing_apart() -> None:
    found = search(lambda network, seed, steps: 0.5)
    assert found.first_length == LENGTHS[-1]  # an order that cannot be seen is not trusted
    assert len(found.equivalent) == len(found.candidates)  # halving left most out, but for no reason
    assert sum(one.state == "finalist" for one in found.candidates) >= 2
    assert found.order.rank_correlation is None


def test_rungs_are_paired_and_no_question_is_asked_twice() -> None:
    asked: list[Question] = []
    inner = evaluator_of(towards((0.5, 0.25, 0.25), noise=0.002))

    def evaluator(questions: list[Question]) -> list[Outcome]:
        asked.extend(questions)
        return list(inner(questions))

    found = search_coefficients(
        cs.network("small-mbconv"),
        evaluator,  # type: ignore[arg-type]
        cost=4.0,
        share_step=0.25,
        lengths=LENGTHS,
        seed=40,
    )
    assert len(set(asked)) == len(asked) == found.trainings
    assert {question.seed for question in asked} <= set(range(40, 45))
    finalists = [one for one in found.candidates if one.state == "finalist"]
    assert 2 <= len(finalists) <= 3
    assert all(set(one.accuracies[900]) == set(range(40, 45)) for one in finalists)
    macs = {one.candidate.network: one.candidate.macs for one in found.candidates}
    assert found.training_macs == sum(macs[question.network] * question.steps for question in asked)


# The recorded grid: a table of accuracies, asked instead of trained


@pytest.mark.long
@pytest.mark.parametrize(("step", "noise"), [(0.25, 0.004), (0.25, 0.012), (1 / 6, 0.004), (1 / 6, 0.012)])
def test_on_a_recorded_grid_the_pick_is_within_noise_of_the_best_for_a_quarter(step: float, noise: float) -> None:
    within, most = 0, 0.0
    for repetition in range(20):
        evaluate = towards((0.3, 0.3, 0.4), noise=noise, step=step, repetition=repetition)
        full = {
            one.network: {seed: evaluate(one.network, seed, LENGTHS[-1]) for seed in range(5)}
            for one in candidates(step).found
        }
        found = search(evaluate, share_step=step)
        top = max(full, key=lambda network: sum(full[network].values()))
        within += not paired_difference(full[top], full[found.best.candidate.network]).certain()
        most = max(most, found.share_of_full_grid)
    assert within >= 19
    assert most <= 0.25


# The plan


def test_a_plan_keeps_its_budget_where_one_does() -> None:
    asked = HalvingPlan(LENGTHS, 0, seeds=3, reduction=3, keep=3, final_seeds=5)
    # 28 candidates: 28 and 10 with 3 seeds, 4 with 3 at the last length, 3 of them with 2 more.
    assert asked.cost(28) == 28 * 3 * 100 + 10 * 3 * 300 + 4 * 3 * 900 + 3 * 2 * 900
    assert affordable_halving(28, asked, 1e9) == asked
    tight = affordable_halving(28, asked, 20_000)
    assert tight.cost(28) <= 20_000
    assert tight.seeds < 3
    assert affordable_halving(28, asked, 0).keep == 2
    assert replace(asked, probed=5).cost(28) == asked.cost(28) - 5 * 100
    cheapest = affordable_halving(28, replace(asked, probed=5), 0)
    assert (cheapest.final_seeds, cheapest.probed) == (3, 5)  # the budget is broken by as little as can be
    late = replace(asked, start=2)
    assert affordable_halving(28, late, 0).final_seeds == 5  # but not where short trainings cannot be trusted


def test_a_probe_takes_no_more_than_its_share_but_is_no_fewer_than_four() -> None:
    assert affordable_probe(5, 28, LENGTHS, 1e9) == 5
    assert affordable_probe(6, 28, LENGTHS, 5 * 1000 / 0.4) == 5
    assert affordable_probe(6, 28, LENGTHS, 0) == 4
    assert affordable_probe(3, 28, LENGTHS, 0) == 3
    assert affordable_probe(5, 2, LENGTHS, 1e9) == 2


def test_the_probe_is_spread_over_the_directions() -> None:
    found = candidates().found
    chosen = [found[index].actual for index in far_apart(found, 4, seed=3)]
    assert len(set(chosen)) == 4
    for corner in range(3):
        assert max(actual[corner] for actual in chosen) > 0.7


def test_the_best_of_a_rung_go_on_and_ties_go_to_the_earlier() -> None:
    means = dict(enumerate([0.1, 0.9, 0.3, 0.8, 0.8, 0.2, 0.5, 0.4, 0.0]))
    assert best_of(means, survivors(9, 3, 2)) == [1, 3, 4]
    assert best_of(means, 2) == [1, 3]
    assert [survivors(9, 3, keep) for keep in (2, 5, 20)] == [3, 5, 9]
