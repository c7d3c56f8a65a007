"""No text of a picture covers another, and none is cut, whatever is drawn."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from convscale.figures import (
    Mistake,
    draw_confusion,
    draw_curves,
    draw_grids,
    draw_mistakes,
    draw_reliability,
    draw_study,
    draw_ternary,
)
from convscale.records import BASELINE, CalibrationBin, EpochRecord, read_record
from tests.figures.looking import faults, shown_texts
from tests.figures.planted import NAMES, drawn_at_random, row, study

LONG = ["a picture of something with a very long name, " * 4, "W" * 300]


def test_faults_are_found() -> None:
    figure = Figure(figsize=(4, 3))
    figure.text(0.5, 0.5, "one")
    assert faults(figure) == []
    figure.text(0.52, 0.5, "two")
    figure.text(0.95, 0.1, "cut at the side")
    assert faults(figure) == ["'cut at the side' leaves the canvas", "'one' covers 'two'"]


@pytest.mark.parametrize("seed", range(8))
def test_studies(tmp_path: Path, drawn: list[Figure], seed: int) -> None:
    draw_study(drawn_at_random(seed), tmp_path)
    assert len(drawn) == 1 and faults(drawn[0]) == []
    for axes in drawn[0].axes:
        low, high = axes.get_ylim()
        assert 0 <= low < high <= 100 or "no result" in [text.get_text() for text in axes.texts]


def test_what_a_study_says_of_itself(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [row(BASELINE, 10**7, 10**6, 0.5, 0.02), row("width", 4 * 10**9, 10**6, 0.7, 0.02)]
    rows.append(row("depth", 4 * 10**9, 10**6, 0.6, 0.02))
    draw_study(study(rows), tmp_path)
    texts = [text for text, _ in shown_texts(drawn[0])]
    assert "1G" in texts and "10M" in texts
    title = " ".join(texts[0].split())
    for part in ("small-mbconv from 16 px on cifar10", "5,000 training and all held-out images", "6 epochs (186 steps)",
                 "3 seeds", "95 % interval of the mean over the seeds"):  # fmt: skip
        assert part in title


def test_published_trainings(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_grids(read_record(Path(__file__).parents[2] / "docs" / "results" / "grids"), tmp_path / "grids.png")
    assert faults(drawn[0]) == []
    assert all(axes.get_position().height > 0.6 for axes in drawn[0].axes), "no room is wasted"


@pytest.mark.parametrize("seed", range(8))
def test_triangles(tmp_path: Path, drawn: list[Figure], seed: int) -> None:
    draw = random.Random(seed)
    points = []
    for _ in range(draw.randint(1, 30)):
        parts = [draw.expovariate(1) for _ in range(3)]
        step = draw.choice((4, 6, 100))
        depth, width = (round(step * part / sum(parts)) / step for part in parts[:2])
        off = draw.choice((0.0, 0.06))
        points.append(((depth + off, width, 1 - depth - width - off), draw.choice((0.0, 1.0, draw.random()))))
    best, *others = [shares for shares, _ in points]
    draw_ternary(points, best, tmp_path / "ternary.png", equal=others[:5], title=LONG[: seed % 3])
    assert faults(drawn[0]) == []
    assert sum(text.count(".") for text, _ in shown_texts(drawn[0]) if len(text) <= 5) >= len(points)


def test_the_set_that_cannot_be_told_apart_is_ringed(tmp_path: Path, drawn: list[Figure]) -> None:
    points = [((1.0, 0.0, 0.0), 0.5), ((0.0, 1.0, 0.0), 0.51), ((0.0, 0.0, 1.0), 0.2)]
    draw_ternary(points, (0.0, 1.0, 0.0), tmp_path / "ternary.png", equal=[(0.0, 1.0, 0.0), (1.0, 0.0, 0.0)])
    rings = [one for one in drawn[0].axes[0].collections if not len(one.get_facecolor())]
    centres = {tuple(map(float, one.get_offsets()[0])): float(one.get_linewidths()[0]) for one in rings}
    assert centres.keys() == {(0.0, 0.0), (1.0, 0.0)} and centres[1.0, 0.0] > centres[0.0, 0.0]


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 20, 40])
@pytest.mark.parametrize("wide", [False, True])
def test_confusion_matrices(tmp_path: Path, drawn: list[Figure], count: int, wide: bool) -> None:
    names = ["W" * 30 if wide else NAMES[index % 8] for index in range(count)]
    counts = np.full((count, count), 9_999) + 20_000 * np.eye(count, dtype=int)
    draw_confusion(counts, names, tmp_path / "confusion.png", LONG[:1])
    assert faults(drawn[0]) == []


@pytest.mark.parametrize("count", [7])
@pytest.mark.parametrize("name", [NAMES[4], NAMES[5], "W" * 60])
def test_mistakes(tmp_path: Path, drawn: list[Figure], count: int, name: str) -> None:
    mistakes = [Mistake(f"{name}.png", np.zeros((3, 9, 9), np.uint8), name, name, 1.0)] * count
    draw_mistakes(mistakes, tmp_path / "mistakes.png", LONG[1:])
    assert faults(drawn[0]) == []


@pytest.mark.parametrize("title", [[], ["cifar10: 10,000 images"], LONG])
def test_reliability(tmp_path: Path, drawn: list[Figure], title: list[str]) -> None:
    bins = [CalibrationBin(index / 15, (index + 1) / 15, 3_000_000, (index + 1) / 15, 1.0) for index in range(15)]
    draw_reliability(bins, tmp_path / "reliability.png", title)
    assert faults(drawn[0]) == []


@pytest.mark.parametrize("epochs", [1, 2, 1200])
@pytest.mark.parametrize("top1", [0.0, 0.5, 1.0])
def test_curves(tmp_path: Path, drawn: list[Figure], epochs: int, top1: float) -> None:
    record = EpochRecord(
        epoch=1, steps=1, learning_rate=1e-6, train_loss=1e-7, gradient_norm=None, top1=top1, seconds=1, data_seconds=1,
        forward_seconds=1, backward_seconds=1, optimizer_seconds=1, images_per_second=1,
    )  # fmt: skip
    records = [replace(record, epoch=1 + index, learning_rate=1e-6 / (1 + index)) for index in range(epochs)]
    draw_curves(records, tmp_path / "curves.png", LONG if epochs > 2 else ())
    assert faults(drawn[0]) == []
    low, high = drawn[0].axes[1].get_ylim()
    assert 0 <= low < high <= 100 and low <= 100 * top1 <= high
