"""Networks of given directions at one true cost: what has no share stays exactly the baseline's."""

from __future__ import annotations

from dataclasses import replace

import pytest

import convscale as cs
from convscale.catalog import list_networks
from convscale.scaling import DIMENSIONS, Scaling, scale
from convscale.search.coefficients import candidates_toward, shares_of
from convscale.search.coefficients.toward import Steps

ALONE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def parts(network: cs.ConvNet) -> tuple[object, ...]:
    """Its blocks, its channels and its pixels."""
    head = getattr(network.head, "channels", 0), getattr(network.head, "hidden", 0)
    channels = (network.stem.channels, *(stage.channels for stage in network.stages), *head)
    return tuple(stage.repeats for stage in network.stages), channels, network.resolution


def test_tiny_mbconv_at_the_cost_that_depth_has() -> None:
    """28 blocks alone, 16-34-50-102 channels alone, 62 px alone, or a little of each as in the paper: within 1 %."""
    baseline = cs.network("tiny-mbconv")
    assert cs.cost(baseline).macs == 2_961_696
    compound, depth, width, resolution = candidates_toward(
        baseline, 3.88, [shares_of(cs.compound_law()(1.0)), *ALONE], tolerance=0.01
    )
    for one in (compound, depth, width, resolution):
        assert not isinstance(one, str) and 0.99 * 3.88 <= one.cost_ratio <= 3.88
        assert one.network == scale(baseline, one.scaling) and one.macs == cs.cost(one.network).macs
    assert not isinstance(compound, str) and not isinstance(depth, str)
    assert not isinstance(width, str) and not isinstance(resolution, str)
    repeats, channels, pixels = parts(baseline)
    assert depth.network.num_blocks == 28 and parts(depth.network)[1:] == (channels, pixels)
    assert [stage.channels for stage in width.network.stages] == [16, 34, 50, 102]
    assert parts(width.network)[0] == repeats and width.network.resolution == pixels
    assert resolution.network.resolution == 62 and parts(resolution.network)[:2] == (repeats, channels)
    assert compound.network.num_blocks == 10 and compound.network.resolution == 41
    assert [stage.channels for stage in compound.network.stages] == [10, 20, 28, 58]


@pytest.mark.parametrize("name", [one for one in list_networks() if one.startswith(("tiny-", "small-"))])
@pytest.mark.parametrize("place", range(3))
def test_the_nearest_costs_of_a_dimension_are_named_and_exist(name: str, place: int) -> None:
    baseline = cs.network(name)
    found = 0
    for cost in (1.3, 2.2, 3.9, 7.1):
        (one,) = candidates_toward(baseline, cost, [ALONE[place]])
        if isinstance(one, str):
            numbers = [float(word) for word in one.replace(":", "").split() if word[0].isdigit()]
            assert one.startswith(f"{DIMENSIONS[place]} alone comes no nearer than ") and 1 <= len(numbers) <= 2
            one = candidates_toward(baseline, numbers[-1], [ALONE[place]])[0]
            assert not isinstance(one, str) and one.cost_ratio == pytest.approx(numbers[-1], rel=1e-3)
        found += 1
        assert one.actual == ALONE[place]
        before, after = parts(baseline), parts(one.network)
        assert [a == b for a, b in zip(before, after, strict=True)] == [index != place for index in range(3)]
    assert found == 4


def test_two_dimensions_leave_the_third_exactly_alone() -> None:
    baseline = cs.network("small-mbconv").at_resolution(16)
    pairs = [(0.0, 0.5, 0.5), (0.5, 0.5, 0.0)]
    both, none = candidates_toward(baseline, 4.0, pairs)
    assert not isinstance(both, str) and parts(both.network)[0] == parts(baseline)[0]
    assert none == "the planner comes to 97.4% of the cost"


def test_a_dimension_that_is_fixed_or_ends_is_reported() -> None:
    baseline = cs.network("small-mbconv").at_resolution(16)
    fixed = replace(baseline, stages=tuple(replace(one, fixed_depth=True) for one in baseline.stages))
    assert candidates_toward(fixed, 4.0, [ALONE[0]]) == [
        "depth alone leaves this baseline as it is: no network of it has another cost"
    ]
    (one,) = candidates_toward(baseline, 1.8e6, [ALONE[2]])
    assert isinstance(one, str) and one.startswith("resolution alone comes to ") and one.endswith(" at most")


def test_steps_rise_and_are_built_by_their_multipliers() -> None:
    baseline = cs.network("tiny-resnet")
    for place in range(3):
        steps = Steps(baseline, place)
        macs = [steps.macs(step) for step in range(1, 12)]
        assert cs.cost(baseline).macs < macs[0] and macs == sorted(set(macs))
        assert steps.network(3) == scale(baseline, steps.scaling(3)) != baseline
        assert steps.scaling(3) != Scaling()
        assert steps.around(macs[5], steps.macs) == (6, 7) and steps.around(macs[5] - 1, steps.macs) == (5, 6)
        assert steps.around(macs[0] - 1, steps.macs) == (None, 1)
