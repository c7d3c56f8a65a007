"""Networks of given directions that are equal in another currency than MACs."""

from __future__ import annotations

import pytest

import convscale as cs
from convscale.costs import cost
from convscale.search.coefficients import equal_candidates, shares_of
from convscale.search.coefficients.equal import Measure

ALONE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SMALL = cs.network("small-mbconv").at_resolution(16)


def activations(network: cs.ConvNet) -> float:
    return cost(network).activations


def uneven(network: cs.ConvNet) -> float:
    """A machine for which each block takes time beside its MACs."""
    found = cost(network)
    return found.macs + 40 * found.activations + 2e5 * network.num_blocks


@pytest.mark.long
@pytest.mark.parametrize("measure", [activations, uneven])
def test_each_direction_meets_the_cost_in_its_currency(measure: Measure) -> None:
    directions = (shares_of(cs.compound_law()(1.0)), *ALONE)
    found = equal_candidates(SMALL, 3.0, directions, measure, tolerance=0.03)
    reached = [one for one in found if not isinstance(one, str)]
    assert len(reached) >= 3 and not isinstance(found[0], str)
    for one in reached:
        assert measure(one.network) / measure(SMALL) == pytest.approx(3.0, rel=0.03)
        assert one.network == cs.scale(SMALL, one.scaling) and one.cost_ratio == one.macs / cost(SMALL).macs
    ratios = [one.cost_ratio for one in reached]
    assert max(ratios) > 1.2 * min(ratios)  # else this would say nothing
    for place, one in enumerate(found[1:]):
        assert isinstance(one, str) or one.actual == ALONE[place]


def test_what_a_dimension_alone_cannot_meet_names_its_steps() -> None:
    (one,) = equal_candidates(SMALL, 1.3, [ALONE[0]], activations, tolerance=0.02)
    assert isinstance(one, str) and one.startswith("depth alone comes no nearer than ")
    nearest = float(one.split("than ")[1].split()[0])
    (again,) = equal_candidates(SMALL, nearest, [ALONE[0]], activations, tolerance=0.02)
    assert not isinstance(again, str)
