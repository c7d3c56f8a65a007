"""The statistic of the int8 gate, on planted counts, against coverage and by what it asks for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscale.deploy.quantisation.measuring import change
from convscale.deploy.quantisation.searching import in_words, judged, require_enough
from convscale.deploy.quantisation.worth import worth_in_words
from convscale.errors import DataError
from convscale.statistics.paired_accuracy import PairedChange, fewest_images


def test_six_lost_and_one_won_of_500_cannot_be_told() -> None:
    found = PairedChange(lost=6, won=1, n=500)
    low, high = found.interval95
    assert found.difference == pytest.approx(-0.010)
    assert low == pytest.approx(-0.024, abs=0.001) and high == pytest.approx(0.001, abs=0.001)
    assert found.outcome(0.01) == "cannot be told" and found.outcome(0.03) == "passes"
    assert found.needed(0.01) is None  # it dropped by just what is allowed
    assert 500 < (found.needed(0.02) or 0) < 1500  # and a drop of 2 points takes few more


@pytest.mark.parametrize(
    ("lost", "won", "n", "outcome"),
    [
        (56, 12, 500, "fails"),  # MobileNetV2 with the wrong padding
        (222, 3, 500, "fails"),  # calibrated on one image
        (3, 9, 500, "passes"),
        (0, 0, 500, "passes"),
        (0, 0, 100, "cannot be told"),  # nothing lost of a few shows little
        (5, 4, 500, "cannot be told"),
        (50, 40, 50_000, "passes"),
        (60, 10, 5_000, "cannot be told"),
        (50, 0, 5_000, "cannot be told"),
    ],
)
def test_outcomes(lost: int, won: int, n: int, outcome: str) -> None:
    found = PairedChange(lost, won, n)
    assert found.outcome(0.01) == outcome
    needed = found.needed(0.01)
    if outcome == "cannot be told" and needed is not None:
        more = PairedChange(lost * needed / n, won * needed / n, needed)
        assert needed > n and more.outcome(0.01) != "cannot be told"


@given(st.integers(0, 200), st.integers(0, 200), st.integers(400, 5000), st.floats(0.001, 0.2))
def test_more_lost_never_helps(lost: int, won: int, n: int, drop: float) -> None:
    order = ["fails", "cannot be told", "passes"]
    here, worse = PairedChange(lost, won, n), PairedChange(lost + 1, won, n)
    assert order.index(worse.outcome(drop)) <= order.index(here.outcome(drop))
    assert order.index(here.outcome(drop)) <= order.index(here.outcome(drop * 1.5))
    low, high = here.interval95
    assert -1 <= low <= high <= 1


@pytest.mark.parametrize(("lost", "won"), [(0.002, 0.002), (0.02, 0.005), (0.0, 0.0), (0.004, 0.0)])
def test_the_interval_covers(lost: float, won: float) -> None:
    random = np.random.default_rng(0)
    drawn = random.multinomial(500, [lost, won, 1 - lost - won], size=4000)
    right = won - lost
    covered = [
        low <= right <= high for a, b, _ in drawn for low, high in [PairedChange(int(a), int(b), 500).interval95]
    ]
    assert np.mean(covered) >= 0.94


def test_the_fewest_images_are_the_fewest() -> None:
    for drop in (0.005, 0.01, 0.05):
        fewest = fewest_images(drop)
        assert PairedChange(0, 0, fewest).outcome(drop) == "passes"
        assert PairedChange(0, 0, int(fewest * 0.97)).outcome(drop) != "passes"
    require_enough(fewest_images(0.01), 0.01)
    with pytest.raises(DataError, match="300 held-out images cannot show a drop below 1 points") as error:
        require_enough(300, 0.01)
    assert f"at least {fewest_images(0.01)}" in error.value.hint


def test_an_attempt_counts_what_changed() -> None:
    truth = np.array([0] * 500)
    before, after = truth.copy(), truth.copy()
    before[:30] = 1
    after[29:36] = 1
    found = change(truth, before, after)
    assert (found.lost, found.won, found.n) == (6, 29, 500)
    attempt = judged("mixed preset", ("a.conv", "b.conv"), truth, before, after, 0.01)
    assert attempt.accuracy == 493 / 500 and attempt.outcome == "passes" and attempt.needed_images is None
    assert in_words(attempt).startswith("mixed preset, 2 layers in float32: 98.6 %, +4.6 points (+2.")
    undecided = judged("a", (), truth, truth, np.where(np.arange(500) < 4, 1, 0), 0.01)
    assert undecided.outcome == "cannot be told" and (undecided.needed_images or 0) > 500


def test_what_int8_gains_is_said() -> None:
    ties = worth_in_words({"float32": 10.2, "int8": 7.3, "bfloat16": 7.4})
    assert ties == "not worth it here: 1.01 times as fast as bfloat16, which needs no calibration"
    assert worth_in_words({"float32": 10.0, "int8": 5.0}) == "2.00 times as fast as float32 here"
