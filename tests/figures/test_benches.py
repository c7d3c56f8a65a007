"""Pictures of benches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from convscale.figures import draw_bench
from tests.benches import WHOLE, bench, row
from tests.figures.looking import faults, shown_texts


def test_a_panel_for_each_network_and_busy_rows_say_so(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_bench(WHOLE, tmp_path / "bench.png", ["a batch of 1 image"])
    (figure,) = drawn
    texts = [text for text, _ in shown_texts(figure)]
    assert faults(figure) == [] and [axes.get_title() for axes in figure.axes] == ["small-mbconv", "efficientnet-b7"]
    assert {"auto: packed float32", "openvino bfloat16", " 5ms", " 2ms, busy"} <= set(texts)
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [2, 10, 5, 4, 2.5] and bool(bars[0].get_hatch())
    assert not any(bar.get_hatch() for bar in bars[1:])


@pytest.mark.parametrize("seed", range(6))
def test_texts_do_not_collide(tmp_path: Path, drawn: list[Figure], seed: int) -> None:
    draw = random.Random(seed)
    names = draw.sample(["small-mbconv", "/a/very/long/path/of/a/run/" * 4, "B0", "$x", "日本語"], draw.randint(1, 5))
    rows = [
        row(engine, 10 ** draw.uniform(-2, 5), network=name, busy=draw.random() < 0.5)
        for name in names
        for engine in draw.sample(["eager", "packed", "openvino", "onnxruntime", "compile"], draw.randint(1, 5))
    ]
    draw_bench(bench(rows), tmp_path / "bench.png", ["a title " * 30] * draw.randint(0, 1))
    assert faults(drawn[0]) == []
