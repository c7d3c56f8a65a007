"""Studies of networks that are equal in activations or in measured seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import ConfigError
from convscale.files import read_json
from convscale.records import Method
from convscale.studies.currencies import Seconds
from convscale.studies.designs import design, recipe_of
from convscale.trials.training_work import choose_images
from tests.studies.planted import BASE, DIGITS, spec

SINGLE = tuple(Method(law=name) for name in ("width", "resolution"))


def test_networks_are_equal_in_activations() -> None:
    designed = design(spec(methods=SINGLE, costs=(3.0,), equal="activations"))
    base, *rest = [cs.cost(point.network).activations for point in designed.points]
    assert len(rest) == 2
    for activations in rest:
        assert activations / base == pytest.approx(3.0, rel=0.02)
    assert designed.points[1].cost_ratio > 1.5 * designed.points[2].cost_ratio  # in MACs they are far apart


def test_networks_are_equal_in_seconds_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def step_seconds(network: cs.ConvNet, *_: Any) -> float:
        return 1e-6 * cs.cost(network).activations

    monkeypatch.setattr("convscale.training.estimation.step_seconds", step_seconds)
    study = spec(methods=SINGLE, costs=(3.0,), equal="seconds")
    first = design(study, tmp_path)
    monkeypatch.setattr("convscale.training.estimation.step_seconds", lambda *_: pytest.fail("measured again"))
    assert design(study, tmp_path) == first and len(first.points) == 3
    assert len(read_json(tmp_path / "seconds.json")) >= 3


def test_seconds_are_those_of_real_steps(tmp_path: Path) -> None:
    dataset, recipe = choose_images(DIGITS), recipe_of(spec(), DIGITS)
    small = replace(BASE.at_resolution(8), input_channels=1)
    measured = Seconds(dataset, recipe, tmp_path)
    seconds = measured(small)
    assert 0 < seconds < 1 and measured(replace(small, name="other")) == seconds
    assert Seconds(dataset, recipe, tmp_path)(small) == seconds


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(ConfigError, match="equal"):
        spec(equal="flops")
