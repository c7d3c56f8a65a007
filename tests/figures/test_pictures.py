"""Files of pictures, and what their axes and marks say."""

from __future__ import annotations

import math
import random
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageColor

from convscale.figures import Curve, Panel, draw_lines, draw_study, remove_figure
from convscale.figures.lines import cost_ticks, side_by_side
from convscale.figures.style import COLOURS, FORMATS, LINES, MARKERS, look
from convscale.records import BASELINE
from convscale.units import format_count, parse_count
from tests.figures.planted import row, study

ROWS = [
    row(BASELINE, 10**7, 10**6, 0.02, 0.3),
    row("compound", 4 * 10**7, 2 * 10**6, 0.97, 0.3),
    row("depth", 4 * 10**7, 3 * 10**6, 0.5, None),
    row("resolution", 4 * 10**7, 10**6, None, None),
]


def test_each_picture_is_png_svg_and_pdf_and_the_same_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_study(study(ROWS), tmp_path / name)
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        one, other = ((tmp_path / name / f"small-mbconv{ending}").read_bytes() for name in ("a", "b"))
        assert one.startswith(start) and one == other
    assert len(list((tmp_path / "a").iterdir())) == len(FORMATS)
    with Image.open(tmp_path / "a" / "small-mbconv.png") as picture:
        assert picture.width > 900
    remove_figure(tmp_path / "a" / "small-mbconv.png")
    assert not list((tmp_path / "a").iterdir())


def test_bars_and_axes_stay_within_0_and_100(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_study(study(ROWS), tmp_path)
    for axes in drawn[0].axes:
        assert axes.get_ylim() == (0, 100)
        bars = [path for one in axes.collections for path in one.get_paths()]
        ends = [float(y) for path in bars for _, y in path.vertices]
        assert ends and min(ends) >= 0 and max(ends) <= 100
        assert {round(max(float(y) for _, y in path.vertices)) for path in bars} >= {32, 100}


def test_a_study_without_results_has_its_picture(tmp_path: Path, drawn: list[Figure]) -> None:
    """Reports link to a picture of every baseline."""
    draw_study(study([row("compound", 1, 1, None, None), row("depth", 1, 1, None, None)]), tmp_path)
    assert (tmp_path / "small-mbconv.png").exists()
    assert [text.get_text() for axes in drawn[0].axes for text in axes.texts] == ["no result"] * 2


def test_points_that_share_a_cost_stand_side_by_side() -> None:
    limits = (1e6, 1e8)
    places = side_by_side([[2e6, 4e7], [3.96e7], [4.04e7, 9e7]], limits)
    assert places[0][0] == 2e6 and places[2][1] == 9e7
    beside = [places[0][1], places[1][0], places[2][0]]
    assert beside == sorted(beside), "in the order of the curves"
    span = math.log(limits[1] / limits[0])
    for a, b in combinations(beside, 2):
        assert math.log(b / a) > 0.02 * span
    assert math.log(beside[2] / beside[0]) < 0.06 * span, "near their cost"


@pytest.mark.parametrize("seed", range(20))
def test_points_side_by_side_keep_the_order_of_costs(seed: int) -> None:
    draw = random.Random(seed)
    ratio = draw.choice((1.2, 1.5, 2.0, 3.0, 10.0))
    costs = [1e6 * ratio**step for step in range(draw.randint(2, 8))]
    curves = [[cost * draw.uniform(0.99, 1.01) for cost in costs] for _ in range(draw.randint(1, 8))]
    places = side_by_side(curves, (0.9e6, costs[-1] * 1.1))
    for at in range(len(costs) - 1):
        assert max(own[at] for own in places) < min(own[at + 1] for own in places)
    for at in range(len(costs)):
        assert all(a < b for a, b in combinations([own[at] for own in places], 2))


@pytest.mark.parametrize("low", [1.0, 950.0, 7.3e6, 9.9e8, 4.4e11])
@pytest.mark.parametrize("ratio", [1.002, 1.08, 1.7, 6, 30, 1e3, 1e6, 1e9])
def test_ticks_of_costs(low: float, ratio: float) -> None:
    ticks = cost_ticks(low, low * ratio)
    assert 1 <= len(ticks) <= 7 and len(set(ticks.values())) == len(ticks)
    assert all(low <= value <= low * ratio for value in ticks)
    assert all(parse_count(text) == pytest.approx(value, rel=0.005) for value, text in ticks.items())
    assert format_count(2e10) == "20G"


def test_curves_are_told_apart_without_colour() -> None:
    looks = [look(index) for index in range(len(COLOURS) * len(LINES))]
    assert len({(one.marker, one.line) for one in looks}) == len(looks)
    assert len(set(MARKERS)) == len(COLOURS)
    grey = [_lightness(colour) for colour in COLOURS]
    assert min(abs(a - b) for a, b in combinations(grey, 2)) > 8
    assert max(grey) < 80, "seen on white"


def _lightness(colour: str) -> float:
    """L* of CIELAB, 0 to 100."""
    linear = [
        (part / 255 + 0.055) ** 2.4 / 1.055**2.4 if part > 10 else part / 255 / 12.92
        for part in ImageColor.getrgb(colour)[:3]
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_a_line_has_the_same_look_in_all_panels(tmp_path: Path, drawn: list[Figure]) -> None:
    curves = [
        Curve(name, ((cost, 0.5, None, None), (2 * cost, 0.6, None, None))) for name, cost in (("a", 1), ("b", 2))
    ]
    quoted = Curve("quoted", ((1.0, 0.7, None, None),), quoted=True)
    draw_lines([Panel("MACs", tuple(curves)), Panel("parameters", (curves[1], quoted))], tmp_path / "lines.png")
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "quoted"]
    colours = [{line.get_color() for line in axes.lines} for axes in drawn[0].axes]
    assert len(colours[0]) == 2 and len(colours[0] & colours[1]) == 1
