"""The intervals of alpha, beta and gamma hold planted values as often as they promise; bench/coverage.py asks more."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median

import pytest

import convscale as cs
from convscale.networks import ConvNet
from convscale.records import CoefficientSearch
from convscale.report.coefficients import evidence_of, meaning, report
from convscale.search.coefficients import search_coefficients
from convscale.search.coefficients.candidates import share_distance
from convscale.search.coefficients.comparison import compare
from convscale.search.questions import Outcome, Question, evaluator_of
from tests.search.planted import LENGTHS, Evaluate, candidates, search, towards

pytestmark = pytest.mark.usefixtures("planned_once")

REPETITIONS = 30


def _planted(repetition: int, slope: float, noise: Sequence[float], *, moves: bool = False) -> tuple[Evaluate, int]:
    """Accuracies that fall by a slope from a network drawn among the candidates, which is given by its position. Where
    the order moves, short trainings prefer another one."""
    found = candidates().found
    draw = random.Random(f"coverage {repetition}")
    best, early = draw.randrange(len(found)), draw.randrange(len(found))
    places = {one.network: place for place, one in enumerate(found)}

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        place, rung = places[network], LENGTHS.index(steps)
        away = share_distance(found[place].actual, found[best].actual)
        if moves:
            other = share_distance(found[place].actual, found[early].actual)
            away = (away * rung + other * (2 - rung)) / 2
        own = random.Random(f"{repetition} {place} {seed} {steps}").gauss(0, noise[rung])
        return 0.85 - 30 / steps - slope * away + own

    return evaluate, best


def _holds(found: CoefficientSearch, place: int) -> bool:
    truth = candidates().found[place].coefficients("shares")
    return all(low <= one <= high for one, (low, high) in zip(truth, found.interval95, strict=True))


@pytest.mark.parametrize(
    ("slope", "noise", "moves"),
    [
        (0.02, (0.005, 0.005, 0.005), False),
        (0.05, (0.015, 0.0075, 0.005), False),
        (0.05, (0.005, 0.005, 0.005), True),
    ],
)
def test_all_three_intervals_hold_the_planted_values(slope: float, noise: tuple[float, ...], moves: bool) -> None:
    held, widths, oracles = 0, [], []
    for repetition in range(REPETITIONS):
        evaluate, best = _planted(repetition, slope, noise, moves=moves)
        found = search(evaluate, seed=repetition)
        held += _holds(found, best)
        widths.append(sum(high - low for low, high in found.interval95))
        oracles.append(_oracle_width(evaluate))
    assert held >= 0.95 * REPETITIONS
    if not moves and len(set(noise)) == 1:
        assert median(widths) <= 2 * median(oracles)


def _oracle_width(evaluate: Evaluate) -> float:
    """The width of what every training at the last length leaves."""
    found = candidates().found
    last = LENGTHS[-1]
    trained = [{last: {seed: evaluate(one.network, seed, last) for seed in range(5)}} for one in found]
    kept = [found[place].coefficients("shares") for place in compare(trained, 0).can_be_best]
    return sum(max(values) - min(values) for values in zip(*kept, strict=True))


def test_what_halving_left_out_stays_while_it_can_be_the_best() -> None:
    found = search(_planted(3, 0.0, (0.005, 0.005, 0.005))[0])
    left_out = [one for one in found.equivalent if one.state == "pruned"]
    assert left_out
    for place, (low, high) in enumerate(found.interval95):
        values = [one.candidate.coefficients("shares")[place] for one in found.equivalent]
        assert (low, high) == (min(values), max(values))


def test_a_clear_answer_is_narrow() -> None:
    evaluate, best = _planted(1, 0.2, (0.002, 0.002, 0.002))
    found = search(evaluate)
    assert found.equal_best[0] == best
    assert len(found.equivalent) <= 2


def test_more_noise_widens_the_intervals() -> None:
    widths = []
    for noise in (0.002, 0.02):
        found = search(_planted(2, 0.05, (noise,) * 3)[0])
        widths.append(sum(high - low for low, high in found.interval95))
    assert widths[0] < widths[1]


# What is reported


def test_a_search_that_leaves_the_answer_open_says_so() -> None:
    found = search(_planted(1, 0.0, (0.01, 0.01, 0.01))[0])
    while_open = " ".join(meaning(found))
    assert len(found.equivalent) == len(found.candidates)
    assert "the data allow every candidate" in while_open
    assert "A larger budget, more seeds or longer trainings narrow the intervals." in while_open
    assert f"the ranges over all {len(found.candidates)} candidates: none can be told from the best" in found.note
    assert while_open in "\n".join(report(found))


def test_a_report_says_what_the_intervals_are_and_how_noisy_accuracies_were() -> None:
    found = search(_planted(1, 0.03, (0.005,) * 3)[0])
    count, every = len(found.equivalent), len(found.candidates)
    assert 1 < count < every
    assert f"the ranges over the {count} of {every} candidates that cannot be told from the best" in evidence_of(found)
    said = " ".join(meaning(found))
    assert "In 95 % of searches the best of all candidates is among them" in said
    assert f"{100 * found.noise[900]:.2f} points" in said
    alone = search(towards((0.3, 0.3, 0.4)))
    assert "those of the best candidate alone" in alone.note


def test_a_coefficient_of_which_everything_is_allowed_is_named() -> None:
    found = search(_planted(0, 0.02, (0.01, 0.01, 0.01))[0])
    every = [one.candidate.coefficients("shares") for one in found.contenders]
    for place, name in enumerate(("alpha", "beta", "gamma")):
        values = [one[place] for one in every]
        whole = found.interval95[place] == (min(values), max(values))
        if len(found.equivalent) < len(every):
            assert (f"every {name}" in " ".join(meaning(found))) is whole


# Interruptions


def test_an_interrupted_search_that_is_resumed_gives_the_same_intervals() -> None:
    evaluate, _ = _planted(7, 0.03, (0.005, 0.005, 0.005))
    answer = evaluator_of(evaluate)
    known: dict[Question, Outcome] = {}
    left = 25

    def remembered(questions: Sequence[Question]) -> list[Outcome]:
        """As trials on record answer: once each, until the power fails."""
        nonlocal left
        for question in questions:
            if question not in known:
                if not left:
                    raise KeyboardInterrupt
                left -= 1
                (known[question],) = answer([question])
        return [known[question] for question in questions]

    whole = search(evaluate)
    options = {"cost": 4.0, "share_step": 0.25, "lengths": LENGTHS}
    assert whole.trainings > left
    with pytest.raises(KeyboardInterrupt):
        search_coefficients(cs.network("small-mbconv"), remembered, **options)
    left = 10**6
    resumed = search_coefficients(cs.network("small-mbconv"), remembered, **options)
    assert resumed.interval95 == whole.interval95
    assert resumed.equal_best == whole.equal_best
    assert (resumed.noise, resumed.drift) == (whole.noise, whole.drift)
