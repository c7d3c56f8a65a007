"""The search for alpha, beta and gamma, on planted objectives: it finds the known best, and says what failed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

import convscale as cs
from convscale.errors import ConfigError, TrainingError, UnknownNameError
from convscale.networks import ConvNet
from convscale.records.coefficients import Shares
from convscale.scaling import Scaling, scale
from convscale.search.coefficients import SearchSettings, find_coefficients, grid_candidates, search_coefficients
from convscale.search.coefficients.candidates import share_distance
from tests.search.planted import LENGTHS, candidates, nearest, search, towards

pytestmark = pytest.mark.usefixtures("planned_once")

OPTIMA = [(1 / 3, 1 / 3, 1 / 3), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)]


@pytest.mark.parametrize("best", OPTIMA)
def test_without_noise_the_optimum_is_found_exactly(best: Shares) -> None:
    found = search(towards(best))
    assert found.best.candidate.actual == nearest(best)
    law = found.best.candidate.doubling
    assert found.coefficients == (law.depth, law.width, law.resolution)
    assert found.alpha * found.beta**2 * found.gamma**2 == pytest.approx(2)
    assert found.law()(1.0) == law
    assert all(low == high == own for (low, high), own in zip(found.interval95, found.coefficients, strict=True))
    assert found.share_of_full_grid <= 0.25


@pytest.mark.parametrize("best", OPTIMA)
def test_with_noise_the_optimum_is_among_the_equivalent_or_a_step_away(best: Shares) -> None:
    for repetition in range(3):
        found = search(towards(best, noise=0.005, repetition=repetition))
        near = min(share_distance(one.candidate.actual, nearest(best)) for one in found.equivalent)
        assert near <= 0.25
        assert found.equivalent[0] is found.best
        for (low, high), own in zip(found.interval95, found.coefficients, strict=True):
            assert low <= own <= high


def test_a_search_is_the_same_twice() -> None:
    evaluate = towards((0.2, 0.5, 0.3), noise=0.01)
    first, again = search(evaluate), search(evaluate)
    assert replace(first, device_seconds=0, full_grid_device_seconds=0) == replace(
        again, device_seconds=0, full_grid_device_seconds=0
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

    found = search(evaluate, **options)
    assert found.best.candidate.network == wanted
    assert found.coefficients == (known[wanted].depth, known[wanted].width, known[wanted].resolution)


def test_the_json_form_is_plain_and_holds_the_contract() -> None:
    found = search(towards((0.5, 0.25, 0.25), noise=0.005))
    table = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [table[name] for name in ("alpha", "beta", "gamma")] == list(found.coefficients)
    assert set(table["interval95"]) == {"alpha", "beta", "gamma"}
    assert table["equivalent"][0] == table["candidates"][found.candidates.index(found.best)]["shares"]
    for row in table["candidates"]:
        assert {"shares", "scaling", "macs", "accuracy", "interval95", "seeds"} <= set(row)
        assert row["state"] in ("finalist", "pruned", "failed")
    assert table["device_seconds"] >= 0
    assert table["rank_correlation"]


# What fails


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_candidate_that_fails_is_recorded_and_the_search_goes_on(value: float | None) -> None:
    best = (1 / 3, 1 / 3, 1 / 3)
    sound = towards(best)
    broken = {one.network for one in candidates().found if one.actual == nearest(best)}

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        if network not in broken:
            return sound(network, seed, steps)
        if value is None:
            raise RuntimeError("the loss exploded")
        return value

    found = search(evaluate)
    (failed,) = [one for one in found.candidates if one.state == "failed"]
    assert failed.candidate.network in broken
    assert failed.accuracy is None
    assert ("the loss exploded" if value is None else f"the accuracy is {value}") in failed.failure
    assert all(one.candidate.network not in broken for one in found.equivalent)


def test_a_finalist_that_fails_with_its_last_seed_does_not_win() -> None:
    best = (1.0, 0.0, 0.0)
    sound = towards(best)
    broken = {one.network for one in candidates().found if one.actual == nearest(best)}
    found = search(
        lambda network, seed, steps: math.inf if network in broken and seed == 4 else sound(network, seed, steps)
    )
    assert found.best.candidate.network not in broken
    assert {one.candidate.network for one in found.candidates if one.state == "failed"} == broken


def test_where_all_fail_the_search_stops_with_the_reason() -> None:
    with pytest.raises(TrainingError, match=r"every remaining candidate failed.* the accuracy is nan"):
        search(lambda network, seed, steps: math.nan)


def test_an_interrupt_passes_through() -> None:
    def interrupted(network: ConvNet, seed: int, steps: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(interrupted)


def test_an_evaluator_that_loses_answers_is_caught() -> None:
    with pytest.raises(TrainingError, match="gave 0 answers"):
        search_coefficients(
            cs.network("small-mbconv"), lambda questions: [], cost=4.0, share_step=0.25, lengths=LENGTHS
        )


# Settings


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
        search(towards((1, 0, 0)), **options)


def test_settings_are_given_whole_or_by_name() -> None:
    evaluate = towards((0.5, 0.25, 0.25))
    whole = SearchSettings(lengths=LENGTHS, cost=4.0, share_step=0.25)
    found = find_coefficients(cs.network("small-mbconv"), evaluate, settings=whole)
    assert found.coefficients == search(evaluate).coefficients
    with pytest.raises(ConfigError, match="settings and cost are both given"):
        find_coefficients(cs.network("small-mbconv"), evaluate, settings=whole, cost=2.0)
    with pytest.raises(UnknownNameError, match="'final_seeds'"):
        search(evaluate, finalseeds=4)
    with pytest.raises(ConfigError, match="needs lengths"):
        find_coefficients(cs.network("small-mbconv"), evaluate, cost=4.0)
