"""Maps lie where the network looked: receptive fields against what cells see, and patches that move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import convscale as cs
from convscale.catalog import CATALOG
from convscale.explanation.looking import features_name, field_of, look
from convscale.explanation.methods import METHODS
from convscale.explanation.placing import MapAxis, place
from convscale.layers import receptive_fields, resolve
from convscale.networks import ConvNet, MBConv, Padding, Squeeze
from convscale.nn import Model
from tests.explanation.planted import BLOCKS, brightness, network, patch


@st.composite
def networks(draw: st.DrawFn) -> ConvNet:
    return network(
        BLOCKS[draw(st.sampled_from(sorted(BLOCKS)))],
        draw(st.sampled_from(["same", "symmetric"])),
        tuple(draw(st.lists(st.sampled_from([1, 2]), min_size=1, max_size=3))),
        stem=draw(st.sampled_from([1, 3, 5])),
        repeats=draw(st.integers(1, 2)),
        pool=draw(st.booleans()),
    )


@settings(max_examples=25)
@given(networks(), st.integers(16, 41))
def test_a_cell_sees_what_its_receptive_field_says(drawn: ConvNet, size: int) -> None:
    """A line of light at every place in turn: the cells that brighten are those whose field holds it."""
    field = field_of(drawn, size)
    images = torch.zeros(size, 3, size, 4)
    images[torch.arange(size), :, torch.arange(size), :] = 1.0
    seen = look(brightness(drawn), images).features.sum((1, 3)) > 0  # (size, cells)
    cells = torch.arange(seen.shape[1]) * field.step
    places = torch.arange(size)[:, None]
    assert torch.equal(seen, (places >= field.first + cells) & (places <= field.last + cells))


@pytest.mark.parametrize("name", CATALOG)
def test_every_network_has_a_field_for_every_layer_with_a_place(name: str) -> None:
    net = cs.network(name)
    fields = receptive_fields(resolve(net))
    assert fields[features_name(net)].step == net.total_stride
    assert {"stem", "stages.0", "stages.0.0"} <= fields.keys() and "head.pool" not in fields and "head" not in fields
    assert [one.width for one in fields.values()] and fields["stages.0"].width <= fields[features_name(net)].width


def test_squeezes_have_no_place() -> None:
    plain, squeezed = (network(MBConv(3, 2, squeeze=squeeze), "same", (2, 2)) for squeeze in (None, Squeeze(0.25)))
    fields = receptive_fields(resolve(squeezed))
    assert fields["stages.1"] == receptive_fields(resolve(plain))["stages.1"]
    assert not any("squeeze_pool" in name or "squeeze_expand" in name for name in fields)


def test_same_padding_moves_the_field_with_the_size() -> None:
    """Worked out by hand: of a 3x3 with stride 2, SAME pads an even side at its end only."""
    net = network(BLOCKS["mbconv"], "same", (2,), stem=1)
    assert field_of(net, 32)[:] == (0, 2, 2) and field_of(net, 33)[:] == (-1, 1, 2)
    assert field_of(replace(net, padding="symmetric"), 32)[:] == (-1, 1, 2)


def centroid(placed: NDArray[np.float32]) -> NDArray[np.float64]:
    """(y, x) in pixels."""
    total = placed.sum(dtype=np.float64)
    return np.array(
        [(placed.sum(1 - side) * np.arange(placed.shape[side])).sum(dtype=np.float64) / total for side in (0, 1)]
    )


def placed_map(model: Model, image: torch.Tensor, method: str = "cam") -> NDArray[np.float32]:
    height, width = image.shape[-2:]
    features = look(model, image).features
    cells = METHODS[method](model, features, torch.zeros(1, dtype=torch.long))[0].float().numpy()
    rows, columns = (
        MapAxis(field_of(model.network, side).centre, field_of(model.network, side).step, count, side)
        for side, count in zip((height, width), cells.shape, strict=True)
    )
    return place(cells, rows, columns, height, width)


SIZES = [(192, 192), (193, 193), (191, 224), (225, 200)]


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("halvings", [3, 4, 5])
@pytest.mark.parametrize("size", SIZES)
def test_a_patch_that_moves_takes_the_map_along(padding: Padding, halvings: int, size: tuple[int, int]) -> None:
    model = brightness(network(BLOCKS["mbconv"], padding, (2,) * halvings))
    cell, side, start = 2**halvings, 12, 70
    where = []
    for moved in (0, 5, 16, 29):
        found = centroid(placed_map(model, patch(*size, start + moved, start + moved // 2, side)))
        middle = np.array([start + moved, start + moved // 2]) + (side - 1) / 2
        assert np.abs(found - middle).max() <= cell / 2
        where.append(found - middle)
    assert np.abs(np.ptp(where, axis=0)).max() <= cell / 2


def test_maps_stretched_from_corner_to_corner_would_miss_by_half_a_cell() -> None:
    """The check of the check: SAME and symmetric padding shift cells to opposite sides, stretching knows neither."""
    misses = {}
    for padding in ("same", "symmetric"):
        net = network(BLOCKS["mbconv"], padding, (2,) * 5)  # type: ignore[arg-type]
        field = field_of(net, 224)
        misses[padding] = (field.centre - (field.step - 1) / 2) / field.step
    assert misses["same"] > 0.4 and misses["symmetric"] < -0.4


def test_the_part_that_is_cut_off_is_zero_and_the_rest_lies_where_it_was() -> None:
    """An image of 100 x 60, resized to 80 x 48, of which the middle 40 x 40 is seen as 5 cells of 8."""
    columns, rows = MapAxis(3.5, 8, 5, 40, cut=20, resized=80), MapAxis(3.5, 8, 5, 40, cut=4, resized=48)
    placed = place(np.ones((5, 5)), rows, columns, 60, 100)
    assert placed.shape == (60, 100) and set(np.unique(placed.round(6))) == {0.0, 1.0}
    lit = np.flatnonzero(placed[30]), np.flatnonzero(placed[:, 50])
    assert (lit[0][0], lit[0][-1], lit[1][0], lit[1][-1]) == (25, 74, 5, 54)
    assert columns.seen(100) == (25, 75) and rows.seen(60) == (5, 55)
    one = np.zeros((5, 5))
    one[2, 3] = 1
    top, left = np.unravel_index(place(one, rows, columns, 600, 1000).argmax(), (600, 1000))
    assert abs(left - (20 + 27.5 + 0.5) / 80 * 1000) <= 7 and abs(top - (4 + 19.5 + 0.5) / 48 * 600) <= 7
    assert np.allclose(columns.of_view().spread(40)[4], [0.9375, 0.0625, 0, 0, 0])
