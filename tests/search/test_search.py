"""The search for alpha, beta and gamma, on planted objectives: it finds what is known to be best, for little, and
says what it cannot tell."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import convscale as cs
from convscale.errors import BudgetError, ConfigError, TrainingError
from convscale.networks import ConvNet
from convscale.records import CoefficientSearch
from convscale.records.coefficients import Shares
from convscale.scaling import Scaling, scale
from convscale.search.coefficients import (
    Candidates,
    actual_shares,
    candidates_at_cost,
    find_coefficients,
    grid_candidates,
    halving,
    search_coefficients,
)
from convscale.search.coefficients import settings as search_settings
from convscale.search.coefficients.affordable import Schedule, affordable_probe, fit_schedule, spread
from convscale.search.coefficients.candidates import distance
from convscale.search.questions import Outcome, Question, planted
from convscale.statistics import CANNOT_TELL, mean_interval, order_changes, paired_difference, rank_correlation

pytest.importorskip("optuna")
scipy_stats = pytest.importorskip("scipy.stats")

LENGTHS = (100, 300, 900)
Evaluate = Callable[[ConvNet, int, int], float]


@cache
def _candidates(step: float = 0.25, cost: float = 4.0) -> Candidates:
    return candidates_at_cost(cs.network("small-mbconv"), cost, step=step)


@pytest.fixture(autouse=True)
def planned_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Searches of this file share their candidates: planning them takes longer than a planted search."""

    def known(baseline: ConvNet, cost: float, *, step: float, tolerance: float) -> Candidates:
        if baseline == cs.network("small-mbconv") and tolerance == 0.02:
            return _candidates(step, cost)
        return candidates_at_cost(baseline, cost, step=step, tolerance=tolerance)

    monkeypatch.setattr(search_settings, "candidates_at_cost", known)
    yield


def _towards(
    best: Shares, *, noise: float = 0.0, width_bias: float = 0.0, step: float = 0.25, repetition: int = 0
) -> Evaluate:
    """Accuracy falls with the distance from `best`; short trainings favour width by `width_bias`. Half of the noise
    is of the seed alone, so that pairing helps."""
    actual = {one.network: one.actual for one in _candidates(step).found}
    names = {network: number for number, network in enumerate(actual)}

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        away = sum((a - b) ** 2 for a, b in zip(actual[network], best, strict=True))
        short = 1 - steps / LENGTHS[-1]
        own = random.Random(f"{repetition} {names[network]} {seed} {steps}").gauss(0, noise)
        shared = random.Random(f"{repetition} {seed} {steps}").gauss(0, noise)
        return 0.8 - 0.3 * away - 0.2 * short + width_bias * short * actual[network][1] + own + shared

    return evaluate


def _search(evaluate: Evaluate, **options: object) -> CoefficientSearch:
    settings = {"cost": 4.0, "share_step": 0.25, "lengths": LENGTHS, **options}
    return find_coefficients(cs.network("small-mbconv"), evaluate, **settings)  # type: ignore[arg-type]


def _nearest(best: Shares) -> Shares:
    return min(
        (one.actual for one in _candidates().found),
        key=lambda a: sum((x - y) ** 2 for x, y in zip(a, best, strict=True)),
    )


# Candidates


def test_candidates_are_distinct_and_of_one_true_cost() -> None:
    baseline = cs.network("small-mbconv")
    target = 4 * cs.cost(baseline).macs
    found = _candidates().found
    assert len(found) >= 10
    assert len({one.network for one in found}) == len(found) == len({one.shares for one in found})
    for one in found:
        assert 0.98 * target <= one.macs == cs.cost(one.network).macs <= target
        assert scale(baseline, one.scaling) == one.network
        assert distance(one.shares, one.actual) <= 0.25 + 1e-9
        assert math.isclose(sum(one.actual), 1)


def test_every_direction_is_found_merged_or_unreachable_with_a_reason() -> None:
    coarse = _candidates(0.25, 2.0)
    assert len(coarse.found) + coarse.merged + len(coarse.unreachable) == 15
    assert coarse.unreachable
    assert coarse.merged > 0
    assert all("shares" in reason for _, reason in coarse.unreachable)


def test_a_network_is_measured_by_its_own_growth_and_not_by_what_was_asked() -> None:
    baseline = cs.network("small-mbconv")
    # A hair above 1 rounds every number of repeats up: the growth is of depth, whatever the multiplier says.
    depth, width, resolution = actual_shares(baseline, Scaling(1.0001, 1.0, 1.0))
    assert (depth, width, resolution) == pytest.approx((1, 0, 0), abs=1e-9)
    assert actual_shares(baseline, Scaling(1, 1, 1)) == (0, 0, 0)


def test_coefficients_of_a_candidate_double_its_cost_and_return_to_it() -> None:
    for one in _candidates().found:
        law = one.doubling
        assert law.depth * law.width**2 * law.resolution**2 == pytest.approx(2)
        assert min(law.depth, law.width, law.resolution) >= 1


def test_the_papers_grid_is_65_networks_of_unequal_cost() -> None:
    grid = grid_candidates(cs.network("efficientnet-b0"))
    ratios = [one.cost_ratio for one in grid.found]
    assert len(grid.found) + grid.merged == 108
    assert len(grid.found) == 65
    assert min(ratios) == pytest.approx(1.93, abs=0.005)
    assert max(ratios) == pytest.approx(3.33, abs=0.005)
    for one in grid.found:
        product = one.scaling.depth * one.scaling.width**2 * one.scaling.resolution**2
        assert abs(product - 2) <= 0.1


def test_a_baseline_that_cannot_grow_deeper_reports_the_deep_directions() -> None:
    baseline = cs.network("small-mbconv")
    shallow = replace(baseline, stages=tuple(replace(stage, fixed_depth=True) for stage in baseline.stages))
    found = candidates_at_cost(shallow, 4.0, step=0.5)
    reasons = dict(found.unreachable)
    assert "no limit of the budget stops" in reasons[1.0, 0.0, 0.0]
    assert found.found
    assert all(one.actual[0] == 0 for one in found.found)


@pytest.mark.parametrize("cost", [1.0, 0.5, -2.0, math.nan, math.inf])
def test_a_cost_that_is_no_growth_is_refused(cost: float) -> None:
    with pytest.raises(ConfigError, match="cost"):
        candidates_at_cost(cs.network("small-mbconv"), cost)


def test_a_cost_that_nothing_reaches_names_the_nearest() -> None:
    with pytest.raises(BudgetError, match=r"reaches 1\.001 times its cost .* the nearest is 1 times"):
        candidates_at_cost(cs.network("small-mbconv"), 1.001, step=0.5, tolerance=0.0005)


@pytest.mark.parametrize("step", [0.0, -0.25, 0.3, 2.0, math.nan, 0.001])
def test_a_share_step_that_does_not_divide_one_is_refused(step: float) -> None:
    with pytest.raises(ConfigError, match="share step"):
        candidates_at_cost(cs.network("small-mbconv"), 4.0, step=step)


@pytest.mark.parametrize(
    "options",
    [{"step": 0.0}, {"tolerance": 0.0}, {"tolerance": 2.0}, {"target": 1.0}, {"step": 0.9, "tolerance": 0.05}],
)
def test_a_bad_grid_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="grid"):
        grid_candidates(cs.network("small-mbconv"), **options)


def test_a_scaled_baseline_is_refused() -> None:
    scaled = scale(cs.network("small-mbconv"), Scaling(2, 1, 1))
    for find in (lambda: candidates_at_cost(scaled, 4.0), lambda: grid_candidates(scaled)):
        with pytest.raises(ConfigError, match="already scaled"):
            find()


# Statistics


def test_intervals_are_those_of_students_t() -> None:
    values = [0.51, 0.55, 0.48, 0.52]
    interval = mean_interval(values)
    low, high = scipy_stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=scipy_stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert mean_interval([0.5]).interval95 is None
    with pytest.raises(ConfigError, match="mean of 0 values"):
        mean_interval([])
    with pytest.raises(ConfigError, match="finite"):
        mean_interval([0.5, math.nan])


def test_a_paired_difference_uses_common_seeds_and_says_when_it_cannot_tell() -> None:
    a = {0: 0.70, 1: 0.60, 2: 0.65, 7: 0.1}
    b = {0: 0.68, 1: 0.581, 2: 0.631, 9: 0.9}
    difference = paired_difference(a, b)
    assert difference.pairs == 3
    assert difference.mean == pytest.approx(0.0193, abs=1e-4)
    assert difference.verdict == "a is better"
    assert paired_difference(b, a).verdict == "b is better"
    assert paired_difference({0: 0.7}, {0: 0.1}).verdict == CANNOT_TELL
    assert paired_difference(a, a).verdict == CANNOT_TELL
    with pytest.raises(ConfigError, match="share no seed"):
        paired_difference({0: 0.5}, {1: 0.5})


def test_rank_correlation_is_spearmans() -> None:
    a, b = [0.1, 0.4, 0.4, 0.2, 0.9], [3.0, 1.0, 5.0, 5.0, 4.0]
    assert rank_correlation(a, b) == pytest.approx(scipy_stats.spearmanr(a, b).statistic)
    assert rank_correlation([1, 2], [2, 1]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    with pytest.raises(ConfigError, match="ranked"):
        rank_correlation([1, 2, 3], [1, 2])


def test_order_changes_tell_a_real_swap_from_a_doubtful_one() -> None:
    short = {"w": {0: 0.515, 1: 0.511}, "c": {0: 0.481, 1: 0.478}, "d": {0: 0.40, 1: 0.41}}
    long = {"w": {0: 0.65, 1: 0.651}, "c": {0: 0.67, 1: 0.6705}, "d": {0: 0.5, 1: 0.5}}
    change = order_changes(short, long)
    assert (change.candidates, change.pairs, change.swapped, change.best_changes) == (3, 3, 1, True)
    assert change.certain_swaps == 1
    doubtful = order_changes(short, {**long, "c": {0: 0.60, 1: 0.7205}})
    assert (doubtful.swapped, doubtful.certain_swaps) == (1, 0)
    assert order_changes({}, long).rank_correlation is None


# The search

OPTIMA = [(1 / 3, 1 / 3, 1 / 3), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)]


@pytest.mark.parametrize("best", OPTIMA)
def test_without_noise_the_optimum_is_found_exactly(best: Shares) -> None:
    found = _search(_towards(best))
    assert found.best.candidate.actual == _nearest(best)
    law = found.best.candidate.doubling
    assert found.coefficients == (law.depth, law.width, law.resolution)
    assert found.alpha * found.beta**2 * found.gamma**2 == pytest.approx(2)
    assert found.law()(1.0) == law
    assert all(low == high == own for (low, high), own in zip(found.interval95, found.coefficients, strict=True))
    assert found.share_of_full_grid <= 0.25


@pytest.mark.parametrize("best", OPTIMA)
def test_with_noise_the_optimum_is_among_the_equivalent_or_a_step_away(best: Shares) -> None:
    for repetition in range(3):
        found = _search(_towards(best, noise=0.005, repetition=repetition))
        near = min(distance(one.candidate.actual, _nearest(best)) for one in found.equivalent)
        assert near <= 0.25
        assert found.equivalent[0] is found.best
        for (low, high), own in zip(found.interval95, found.coefficients, strict=True):
            assert low <= own <= high


def test_a_search_is_the_same_twice() -> None:
    evaluate = _towards((0.2, 0.5, 0.3), noise=0.01)
    first, again = _search(evaluate), _search(evaluate)
    assert replace(first, device_seconds=0, full_grid_device_seconds=0) == replace(
        again, device_seconds=0, full_grid_device_seconds=0
    )


@pytest.mark.parametrize("bias", [0.5, 0.8])
def test_where_short_trainings_mislead_halving_starts_later_and_finds_the_optimum(bias: float) -> None:
    best = (1 / 3, 1 / 3, 1 / 3)
    evaluate = _towards(best, width_bias=bias)
    found = _search(evaluate)
    assert found.first_length > LENGTHS[0]
    assert all((found.trusted[steps] or 0) < 0.7 for steps in found.trusted if steps < found.first_length)
    assert found.best.candidate.actual == _nearest(best)
    assert set(found.best.accuracies) >= set(LENGTHS[1:])
    # The same search that trusts blindly does not find it: the check is what saves it.
    blind = _search(evaluate, trust=-1.0)
    assert blind.first_length == LENGTHS[0]
    assert blind.best.candidate.actual != _nearest(best)


@pytest.mark.parametrize("bias", [0.1, 0.2, 0.3])
def test_where_short_trainings_lean_a_little_the_optimum_is_still_a_step_away_at_most(bias: float) -> None:
    best = (1 / 3, 1 / 3, 1 / 3)
    found = _search(_towards(best, width_bias=bias))
    assert distance(found.best.candidate.actual, _nearest(best)) <= 0.25


def test_an_order_that_changes_between_lengths_is_reported() -> None:
    told = _search(_towards((1 / 3, 1 / 3, 1 / 3), width_bias=0.5)).order
    assert told.swapped > 0
    assert told.best_changes
    steady = _search(_towards((1 / 3, 1 / 3, 1 / 3))).order
    assert (steady.swapped, steady.best_changes) == (0, False)


def test_rungs_are_paired_and_no_question_is_asked_twice() -> None:
    asked: list[Question] = []
    inner = planted(_towards((0.5, 0.25, 0.25), noise=0.002))

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


def test_the_json_form_is_plain_and_holds_the_contract() -> None:
    found = _search(_towards((0.5, 0.25, 0.25), noise=0.005))
    table = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [table[name] for name in ("alpha", "beta", "gamma")] == list(found.coefficients)
    assert set(table["interval95"]) == {"alpha", "beta", "gamma"}
    assert table["equivalent"][0] == table["candidates"][found.candidates.index(found.best)]["shares"]
    for row in table["candidates"]:
        assert {"shares", "scaling", "macs", "accuracy", "interval95", "seeds"} <= set(row)
        assert row["state"] in ("finalist", "pruned", "failed")
    assert table["device_seconds"] >= 0
    assert table["rank_correlation"]


def test_a_flat_objective_tells_nothing_apart() -> None:
    found = _search(lambda network, seed, steps: 0.5)
    assert found.first_length == LENGTHS[-1]  # an order that cannot be seen is not trusted
    assert len(found.equivalent) == sum(one.state == "finalist" for one in found.candidates) >= 2
    assert found.order.rank_correlation is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_candidate_that_fails_is_recorded_and_the_search_goes_on(value: float | None) -> None:
    best = (1 / 3, 1 / 3, 1 / 3)
    sound = _towards(best)
    broken = {one.network for one in _candidates().found if one.actual == _nearest(best)}

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        if network not in broken:
            return sound(network, seed, steps)
        if value is None:
            raise RuntimeError("the loss exploded")
        return value

    found = _search(evaluate)
    (failed,) = [one for one in found.candidates if one.state == "failed"]
    assert failed.candidate.network in broken
    assert failed.accuracy is None
    assert ("the loss exploded" if value is None else f"the accuracy is {value}") in failed.failure
    assert all(one.candidate.network not in broken for one in found.equivalent)


def test_a_finalist_that_fails_with_its_last_seed_does_not_win() -> None:
    best = (1.0, 0.0, 0.0)
    sound = _towards(best)
    broken = {one.network for one in _candidates().found if one.actual == _nearest(best)}
    found = _search(
        lambda network, seed, steps: math.inf if network in broken and seed == 4 else sound(network, seed, steps)
    )
    assert found.best.candidate.network not in broken
    assert {one.candidate.network for one in found.candidates if one.state == "failed"} == broken


def test_where_all_fail_the_search_stops_with_the_reason() -> None:
    with pytest.raises(TrainingError, match=r"every candidate .* the accuracy is nan"):
        _search(lambda network, seed, steps: math.nan)


def test_an_interrupt_passes_through() -> None:
    def interrupted(network: ConvNet, seed: int, steps: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _search(interrupted)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lengths": [100]}, "lengths"),
        ({"lengths": [300, 100]}, "lengths"),
        ({"lengths": [0, 100]}, "lengths"),
        ({"seeds": 6, "final_seeds": 5}, "seeds"),
        ({"final_seeds": 1, "seeds": 1}, "seeds"),
        ({"reduction": 1}, "reduction"),
        ({"probe": 2}, "probe"),
        ({"trust": 2.0}, "trust"),
        ({"budget": 0.0}, "budget"),
        ({"method": "random"}, "method"),
        ({"cost": 1.0}, "cost"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _search(_towards((1, 0, 0)), **options)


def test_an_evaluator_that_loses_answers_is_caught() -> None:
    with pytest.raises(TrainingError, match="gave 0 answers"):
        search_coefficients(
            cs.network("small-mbconv"), lambda questions: [], cost=4.0, share_step=0.25, lengths=LENGTHS
        )


def test_the_literal_grid_gives_its_own_point() -> None:
    best = Scaling(1.2, 1.1, 1.15)
    options = {"step": 0.05, "tolerance": 0.1, "method": "grid", "cost": 2.0}
    grid = grid_candidates(cs.network("small-mbconv"), step=0.05, tolerance=0.1)
    wanted = scale(cs.network("small-mbconv"), best)
    known = {one.network: one.scaling for one in grid.found}
    assert wanted in known

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        point = known[network]
        away = abs(point.depth - known[wanted].depth) + abs(point.width - known[wanted].width)
        return 0.7 - away - abs(point.resolution - known[wanted].resolution)

    found = _search(evaluate, **options)
    assert found.best.candidate.network == wanted
    assert found.coefficients == (known[wanted].depth, known[wanted].width, known[wanted].resolution)


# The recorded grid: a table of accuracies, asked instead of trained


@pytest.mark.parametrize(("step", "noise"), [(0.25, 0.004), (0.25, 0.012), (1 / 6, 0.004), (1 / 6, 0.012)])
def test_on_a_recorded_grid_the_pick_is_within_noise_of_the_best_for_a_quarter(step: float, noise: float) -> None:
    within, most = 0, 0.0
    for repetition in range(20):
        evaluate = _towards((0.3, 0.3, 0.4), noise=noise, step=step, repetition=repetition)
        full = {
            one.network: {seed: evaluate(one.network, seed, LENGTHS[-1]) for seed in range(5)}
            for one in _candidates(step).found
        }
        found = _search(evaluate, share_step=step)
        top = max(full, key=lambda network: sum(full[network].values()))
        within += not paired_difference(full[top], full[found.best.candidate.network]).tells
        most = max(most, found.share_of_full_grid)
    assert within >= 19
    assert most <= 0.25


def test_a_schedule_keeps_its_budget_where_one_does() -> None:
    asked = Schedule(LENGTHS, 0, seeds=3, reduction=3, keep=3, final_seeds=5)
    # 28 candidates: 28 and 10 with 3 seeds, 4 with 3 at the last length, 3 of them with 2 more.
    assert asked.cost(28) == 28 * 3 * 100 + 10 * 3 * 300 + 4 * 3 * 900 + 3 * 2 * 900
    assert fit_schedule(28, asked, 1e9) == asked
    tight = fit_schedule(28, asked, 20_000)
    assert tight.cost(28) <= 20_000
    assert tight.seeds < 3
    assert fit_schedule(28, asked, 0).keep == 2
    assert replace(asked, probed=5).cost(28) == asked.cost(28) - 5 * 100
    cheapest = fit_schedule(28, replace(asked, probed=5), 0)
    assert (cheapest.final_seeds, cheapest.probed) == (3, 5)  # the budget is broken by as little as can be
    late = replace(asked, start=2)
    assert fit_schedule(28, late, 0).final_seeds == 5  # but not where short trainings cannot be trusted


def test_a_probe_takes_no_more_than_its_share_but_is_no_fewer_than_four() -> None:
    assert affordable_probe(5, 28, LENGTHS, 1e9) == 5
    assert affordable_probe(6, 28, LENGTHS, 5 * 1000 / 0.4) == 5
    assert affordable_probe(6, 28, LENGTHS, 0) == 4
    assert affordable_probe(3, 28, LENGTHS, 0) == 3
    assert affordable_probe(5, 2, LENGTHS, 1e9) == 2


def test_the_probe_is_spread_over_the_directions() -> None:
    found = _candidates().found
    chosen = [found[index].actual for index in spread(found, 4, seed=3)]
    assert len(set(chosen)) == 4
    for corner in range(3):
        assert max(actual[corner] for actual in chosen) > 0.7


# The store


def test_the_store_holds_every_trial_with_its_end_and_is_rebuilt(tmp_path: Path) -> None:
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'search.db'}")
    sound = _towards((0.5, 0.25, 0.25), noise=0.002)
    broken = _candidates().found[0].network

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        return math.nan if network == broken else sound(network, seed, steps)

    first = _search(evaluate, storage=storage)
    again = _search(evaluate, storage=storage)
    assert first.coefficients == again.coefficients
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    states = {"finalist": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    assert [trial.state.name for trial in study.trials] == [states[one.state] for one in again.candidates]
    assert "the accuracy is nan" in study.trials[0].user_attrs["failure"]
    assert study.best_trial.number == again.candidates.index(again.best)
    assert study.best_trial.user_attrs["shares"] == list(again.best.candidate.shares)
    storage.remove_session()
    storage.engine.dispose()


def test_a_store_that_goes_away_is_tried_again_then_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import optuna

    monkeypatch.setattr(halving, "STORE_WAIT_SECONDS", 0.0)
    left = [2]

    def shaky() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise optuna.exceptions.StorageInternalError("database is locked")
        return "there"

    assert halving.stored(shaky) == "there"
    left[0] = 99
    with pytest.raises(TrainingError, match="database is locked"):
        halving.stored(shaky)
    with pytest.raises(TrainingError, match="store of the search is away"):
        _search(_towards((1, 0, 0)), storage=f"sqlite:///{tmp_path}/no/such/folder/search.db")
    with pytest.raises(ConfigError, match="storage"):
        _search(_towards((1, 0, 0)), storage="nonsense")


def test_the_pruner_keeps_the_best_of_a_rung() -> None:
    import optuna

    study = optuna.create_study(direction="maximize", pruner=halving.paired_halving(reduction=3, keep=2))
    trials = [study.ask() for _ in range(9)]
    for trial, value in zip(trials, [0.1, 0.9, 0.3, 0.8, 0.8, 0.2, 0.5, 0.4, 0.0], strict=True):
        trial.report(value, 100)
    kept = [trial.number for trial in trials if not trial.should_prune()]
    assert kept == [1, 3, 4]
    with pytest.raises(ConfigError, match="halving"):
        halving.paired_halving(reduction=1)
