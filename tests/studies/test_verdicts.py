"""Which rows conclusions rest on, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscale.records import StudyResult, TrialResult
from convscale.report.findings import conclusions
from tests.studies import simulated
from tests.studies.simulated import result

JITTER = (0.004, -0.003, -0.001)


def planted(level: float, place: int, seed: int) -> float:
    return level + JITTER[(seed + place) % 3]


def rows_of(found: StudyResult) -> dict[tuple[str, float | None, int], Any]:
    return {(row.method, row.asked, row.epochs): row for row in found.rows}


LEVELS = st.sampled_from([0.08, 0.1, 0.3, 0.35, 0.6])


@given(st.lists(st.tuples(LEVELS, LEVELS), min_size=9, max_size=9), st.sampled_from([0, 50, 10_000]))
def test_flagged_rows_enter_no_conclusion(levels: list[tuple[float, float]], images: int) -> None:
    made = simulated.design(costs=(4.0, 8.0), images=images, primary="compound")
    found = simulated.collected(
        made, lambda place, epochs, seed: result(max(0.0, planted(levels[place][epochs > 2], place, seed)))
    )
    last = {(row.method, row.asked): row for row in found.rows if row.epochs == 6}
    out = {key for key, row in last.items() if not row.counts}
    for row in last.values():
        assert row.learned == (row.accuracy > 0.15) or images == 50
        assert row.settled is not None
    for one in found.claims:
        assert not {(one.a, one.cost), (one.b, one.cost)} & out
        assert last[one.a, one.cost].accuracy > last[one.b, one.cost].accuracy
    for pair in found.differences:
        flagged = bool({(pair.a, pair.asked), (pair.b, pair.asked)} & out)
        assert (pair.adjusted_interval95 is None) == (flagged or pair.epochs != 6)
        assert pair.verdict == "cannot tell" or not flagged
    for reuse in found.reuses:
        if reuse.epochs == 6:
            assert not {(reuse.reused, reuse.found_at), (reuse.own_best, reuse.used_at)} & out
    for answer in found.primary:
        assert not {(name, answer.cost) for name in answer.others} & out
        assert (answer.mean is None) == (("compound", answer.cost) in out or not answer.others)
    said = [line for line in conclusions(found) if " beats " in line]
    assert sum(line.count(" beats ") for line in said) == len(found.claims)


def test_what_did_not_learn_or_settle_is_named() -> None:
    after = {"depth": (0.1, 0.1), "width": (0.5, 0.7), "compound": (0.6, 0.6), "resolution": (0.5, 0.5)}
    made = simulated.design(costs=(4.0,), images=1000)
    methods = [point.method for point in made.points]

    def draw(place: int, epochs: int, seed: int) -> TrialResult:
        return result(planted(after.get(methods[place], (0.4, 0.4))[epochs > 2], place, seed))

    found = simulated.collected(made, draw)
    rows = rows_of(found)
    assert not rows["depth", 4.0, 6].learned and rows["width", 4.0, 6].settled is False
    assert rows["width", 4.0, 2].settled is None and rows["baseline", None, 6].settled
    assert [(one.a, one.b) for one in found.claims] == [("compound", "resolution")] and found.comparisons == 1
    text = "\n".join(conclusions(found))
    assert "not above chance (10 %) by its interval: small-mbconv, depth at 4 times" in text
    assert "between 2 and 6 epochs: small-mbconv, width at 4 times" in text
    assert "corrected for 1 comparison)" in text


def test_one_lucky_seed_does_not_make_a_network_that_learned() -> None:
    made = simulated.design(images=1000)

    def draw(place: int, epochs: int, seed: int) -> TrialResult:
        return result((0.1, 0.1, 0.45)[seed] if place == 2 else planted(0.6, place, seed))

    found = simulated.collected(made, draw)
    assert [row.method for row in found.rows if not row.learned] == ["depth", "depth"]
    assert found.noise[-1].networks == 16 and found.noise[-1].degrees == 30


def test_pairs_of_equal_differences_are_not_certain() -> None:
    """What a test set of 200 images cannot resolve is not told, however well two seeds agree."""
    made = simulated.design(seeds=2, images=200, costs=(4.0,))
    found = simulated.collected(made, lambda place, epochs, seed: result(0.905 if place == 1 else 0.9))
    assert not found.claims and all(row.interval95[1] - row.interval95[0] > 0.01 for row in found.rows)


def test_intervals_stay_within_0_and_1() -> None:
    made = simulated.design(costs=(4.0,))
    found = simulated.collected(made, lambda place, epochs, seed: result(min(1.0, 0.999 + JITTER[seed])))
    assert all(0 <= row.interval95[0] <= row.interval95[1] <= 1 for row in found.rows)


@pytest.mark.parametrize("field", ["device", "precision"])
def test_differences_stay_within_one_device_and_precision(field: str) -> None:
    """A device that adds two points to all that it trains changes no difference, and rows say that there are two."""
    made = simulated.design(seeds=4, costs=(4.0,))

    def draw(place: int, epochs: int, seed: int) -> TrialResult:
        fast = seed < 2 or (place == 1 and seed == 2)
        kinds = {"device": "cpu", "precision": "fp32"} | {field: "H100" if fast else "cpu"}
        return result(planted(0.6, place, seed) + 0.02 * fast, images=100, **kinds)

    found = simulated.collected(made, draw)
    assert not found.claims
    for one in found.differences:
        assert one.pairs == (3 if "compound" in (one.a, one.b) else 4)
        assert abs(one.mean) < 0.01
    assert all(getattr(row, field) == "H100, cpu" for row in found.rows)
    assert found.rows[0].seconds_per_image == pytest.approx(0.01)


def test_the_primary_question_leaves_out_what_does_not_count() -> None:
    levels = {"compound": 0.6, "depth": 0.1, "width": 0.601, "resolution": 0.5}
    made = simulated.design(costs=(4.0,), images=10_000, primary="compound", equivalence=0.02)
    methods = [point.method for point in made.points]
    found = simulated.collected(
        made, lambda place, epochs, seed: result(planted(levels.get(methods[place], 0.4), place, seed))
    )
    (answer,) = found.primary
    assert answer.others == ("width", "resolution") and answer.best_other == "width"
    assert answer.mean == pytest.approx(-0.001) and answer.verdict == "equivalent"
    assert answer.left_out == ("depth did not learn",)
    first = conclusions(found)[0]
    assert first.startswith("- **Primary question**") and "equivalent within 2 points" in first
    assert "left out: depth did not learn" in first
