"""Studies of planted accuracies: no training, images, folder or executor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import BudgetError, ConfigError
from tests.studies.planted import BASE, FOUR, spec
from tests.works import Inline


def planted(**changes: Any) -> cs.StudySpec:
    """Without images: the baseline has the one channel of the digits, for which each dimension meets the cost."""
    return spec(**{"data": None, "baselines": (replace(BASE, input_channels=1),)} | changes)


PLANTED = planted()


def grown(network: cs.ConvNet, seed: int, steps: int) -> float:
    """The larger the image the better, at any length, with some noise of seeds."""
    return 0.5 + network.resolution / 100 + 0.002 * ((7 * seed + network.num_blocks) % 3 - 1)


def test_a_study_is_planted_by_a_function() -> None:
    asked: list[tuple[cs.ConvNet, int, int]] = []

    def evaluate(network: cs.ConvNet, seed: int, steps: int) -> float:
        asked.append((network, seed, steps))
        return grown(network, seed, steps)

    result = cs.run_study(PLANTED, evaluate=evaluate)
    assert len(asked) == len(set(asked)) == 5 * 2 * 3
    assert {steps for *_, steps in asked} == {100, 200} and {seed for _, seed, _ in asked} == {0, 1, 2}
    assert result.chance == 1 / cs.network("small-mbconv").num_classes
    best = max((row for row in result.rows if row.asked), key=lambda row: row.accuracy or 0.0)
    assert best.method == "resolution"
    assert {one.b for one in result.claims if one.a == "resolution"} == {"compound", "depth", "width"}
    claim = next(one for one in result.claims if one.a == "resolution")
    assert claim == cs.Claim(baseline="small-mbconv", cost=4.0, a="resolution", b=claim.b)
    table = result.as_dict()
    assert {"baseline", "cost", "a", "b"} == table["claims"][0].keys()
    assert {"learned", "settled", "device_seconds", "seconds_per_image"} <= table["rows"][0].keys()
    assert {"adjusted_interval95", "verdict"} <= table["differences"][0].keys()


def test_a_function_without_noise_is_believed_and_chance_is_not() -> None:
    result = cs.run_study(PLANTED, evaluate=lambda network, seed, steps: 0.5 + network.resolution / 100)
    assert ("resolution", "compound") in {(one.a, one.b) for one in result.claims}
    result = cs.run_study(PLANTED, evaluate=lambda network, seed, steps: 1 / network.num_classes)
    assert not result.claims and not any(row.learned for row in result.rows)


def test_what_a_function_cannot_answer_is_a_failure() -> None:
    def evaluate(network: cs.ConvNet, seed: int, steps: int) -> float:
        if network.resolution > 30:
            raise ValueError("too large")
        return float("nan") if seed == 2 else grown(network, seed, steps)

    rows = {row.method: row for row in cs.run_study(PLANTED, evaluate=evaluate).rows}
    assert rows["resolution"].failures == ("ValueError: too large",) * 3 and not rows["resolution"].learned
    assert rows["compound"].failures == ("the accuracy is nan",) and rows["compound"].seeds == 2


def test_methods_that_share_a_network_are_asked_once_and_not_compared() -> None:
    twin = replace(FOUR[0], name="twin")
    result = cs.run_study(planted(methods=(*FOUR, twin)), evaluate=grown)
    (pair,) = [one for one in result.differences if (one.a, one.b, one.epochs) == ("compound", "twin", 2)]
    assert pair.interval95 == (0.0, 0.0) and pair.adjusted_interval95 is None and result.comparisons == 9
    assert result.noise[-1].networks == 5


def test_the_primary_question_names_a_method() -> None:
    result = cs.run_study(planted(primary="resolution"), evaluate=grown)
    (answer,) = result.primary
    assert isinstance(answer, cs.PrimaryAnswer) and answer.verdict == "better" and len(answer.others) == 3
    with pytest.raises(ConfigError, match="primary 'widht' is not one of its methods"):
        spec(primary="widht")
    with pytest.raises(ConfigError, match="equivalence"):
        spec(equivalence=1.0)


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a fraction, from 0 to 1|accuracy 61"):
        cs.run_study(PLANTED, evaluate=lambda network, seed, steps: 61.0)
    with pytest.raises(ConfigError, match="nothing is trained"):
        cs.run_study(PLANTED, tmp_path, evaluate=grown)
    with pytest.raises(ConfigError, match="has no executor"):
        cs.run_study(PLANTED, tmp_path)
    with pytest.raises(ConfigError, match="has no folder"):
        cs.run_study(PLANTED, executor=Inline())
    with pytest.raises(BudgetError, match="no method reaches its cost"):
        cs.run_study(planted(costs=(1.01,), methods=FOUR[1:2]), evaluate=grown)
    assert not list(tmp_path.iterdir())
