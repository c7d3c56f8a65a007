"""Learning rates that follow the depth of a network."""

from __future__ import annotations

from dataclasses import replace

import pytest

import convscale as cs
from convscale.errors import ConfigError
from convscale.layers import effective_depth
from convscale.recipes import tuning_rate
from convscale.recipes.rates import FURTHER, further_rates, open_ends, rates_to_try, short
from convscale.scaling import Scaling, scale

RECIPE = cs.recipe("small-images")


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("resnet-50", 1 + (2 + 2 + 2 + 2) + (2 + 3 + 5 + 2)),  # stem; projections; shortcuts
        ("tiny-mobilenet-v1", 1 + 2 * 7),  # no shortcuts: depthwise and pointwise of each block
        ("tiny-mbconv", 1 + 1 + 3 * (3 + 1) + 1),  # the first block keeps 8 channels; then 3 layers and a shortcut
    ],
)
def test_effective_depth_is_of_the_shortest_path(name: str, depth: int) -> None:
    assert effective_depth(cs.network(name)) == depth
    assert effective_depth(cs.network(name).at_resolution(64)) == depth


def test_rates_are_around_the_rule() -> None:
    base = cs.network("tiny-mbconv")
    deep, wide = scale(base, Scaling(depth=4)), scale(base, Scaling(width=2))
    assert rates_to_try(RECIPE, base, base) == rates_to_try(RECIPE, wide, base) == (0.2, 0.1, 0.4)
    centre = 0.2 * (effective_depth(deep) / effective_depth(base)) ** -1.5
    assert rates_to_try(RECIPE, deep, base) == pytest.approx((centre, centre / 2, 2 * centre), rel=1e-3)
    assert centre < 0.3 * 0.2


@pytest.mark.parametrize(
    ("accuracies", "ends", "further"),
    [
        ((0.5, 0.6, 0.7), (False, True), (0.8,)),
        ((0.7, 0.6, 0.5), (True, False), (0.05,)),
        ((0.5, 0.7, 0.6), (False, False), ()),
        ((0.7, 0.5, 0.7), (True, True), (0.8, 0.05)),
        ((0.5, 0.7, 0.7), (False, True), (0.8,)),  # as good is not worse
        ((0.6, 0.7, None), (False, False), ()),  # a failure is
        ((None, 0.7, 0.6), (False, False), ()),
        ((None, None, 0.0), (False, True), (0.8,)),
        ((None, None, None), (False, False), ()),
    ],
)
def test_a_best_rate_is_enclosed_by_worse_ones(
    accuracies: tuple[float | None, ...], ends: tuple[bool, bool], further: tuple[float, ...]
) -> None:
    found = dict(zip((0.1, 0.2, 0.4), accuracies, strict=True))
    assert open_ends(found) == ends and further_rates(found) == further
    assert further_rates(dict(reversed(found.items()))) == further  # in any order


def test_further_rates_have_limits() -> None:
    found: dict[float, float | None] = {0.1: 0.1, 0.2: 0.2, 0.4: 0.4}
    while further := further_rates(found):
        found |= {rate: rate for rate in further}
    assert len(found) == 3 + FURTHER and max(found) == 6.4
    level = dict.fromkeys((0.1, 0.2, 0.4, 0.8, 1.6, 3.2), 0.5)
    assert further_rates(level) == (6.4,) and further_rates(level, 6) == further_rates(level, 2) == ()
    assert further_rates({250.0: 0.1, 500.0: 0.2, 1000.0: 0.3}) == ()  # greater ones are no rates
    assert further_rates({0.0: 0.1}) == () and open_ends({}) == (False, False)


def test_a_scaled_network_is_tuned_beside_its_baseline() -> None:
    base = cs.network("tiny-mbconv")
    deep = scale(base, Scaling(depth=4))
    assert tuning_rate(RECIPE, deep).search.learning_rates == rates_to_try(RECIPE, deep, base)
    assert tuning_rate(RECIPE, base).search.learning_rates == (0.2, 0.1, 0.4)
    assert tuning_rate(RECIPE, base).search.further_rates == FURTHER
    own = scale(replace(base, name="my own"), Scaling(depth=4))
    assert tuning_rate(RECIPE, own).search.learning_rates == (0.2, 0.1, 0.4)
    assert tuple(one.learning_rate for one in tuning_rate(RECIPE, deep).choices()) == rates_to_try(RECIPE, deep, base)
    with pytest.raises(ConfigError, match="no learning rate to tune"):
        tuning_rate(cs.recipe("linear-probe"), base)


def test_short_schedules_are_whole_and_last_an_epoch_at_least() -> None:
    assert (short(RECIPE).epochs, short(RECIPE).warmup_epochs) == (3, pytest.approx(0.1))
    assert short(RECIPE.with_changes(epochs=4)).epochs == 1 and short(RECIPE, 1) is RECIPE
    assert short(RECIPE).learning_rate == RECIPE.learning_rate
    with pytest.raises(ConfigError, match="epochs_share"):
        RECIPE.with_settings(["search.epochs_share=0"])
