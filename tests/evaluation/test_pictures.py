"""What a network gets wrong: the pairs that it confuses, its most confident mistakes, and the pictures of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convscale as cs
from convscale.data.images import ArrayImages
from convscale.evaluation.measurement import EvaluatedBatch, measure
from convscale.evaluation.pictures import Pictures
from convscale.evaluation.tally import Measured, Tally
from convscale.figures import SHOWN_MISTAKES, Mistake, draw_confusion, draw_curves, draw_mistakes, draw_reliability
from convscale.figures import evaluation as evaluation_figures
from convscale.figures import training as training_figures
from convscale.figures.style import plain, save_figure
from convscale.preprocessing import Preprocessing
from convscale.records import CalibrationBin, EpochRecord
from tests.cli.calling import run, run_json

ODD = ("$a$b_c^{", "a\\$", "x" * 60, "new\nline", "犬", "\x01ctl", "", "Übersee", "%d", "{}")


def counted(pairs: list[tuple[int, int]], classes: int) -> Measured:
    """An evaluation with an image of the first class of each pair that was taken for the second."""
    tally = Tally(classes)
    tally.add(torch.eye(classes)[[at for _, at in pairs]] * 5, torch.tensor([true for true, _ in pairs]))
    return tally.measured(tuple(f"c{index}" for index in range(classes)), ())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures, which are written as ever."""
    figures: list[Any] = []

    def save(figure: Any, path: Path) -> None:
        save_figure(figure, path)
        figures.append(figure)

    for module in (evaluation_figures, training_figures):
        monkeypatch.setattr(module, "save_figure", save)
    return figures


def test_the_pairs_that_are_confused_most() -> None:
    found = counted([(0, 0)] * 9 + [(2, 1)] * 2 + [(0, 2)] * 3 + [(1, 0)] * 2, 3).evaluation
    assert found.confused is not None
    told = [(one.true, one.predicted, one.count) for one in found.confused]
    assert told == [("c0", "c2", 3), ("c1", "c0", 2), ("c2", "c1", 2)]
    assert counted([(0, 0), (1, 1)], 2).evaluation.confused == ()
    many = counted([(row, at) for row in range(5) for at in range(5)], 5).evaluation.confused
    assert many is not None and len(many) == 10 and all(one.true != one.predicted and one.count == 1 for one in many)
    assert counted([(0, 1)], 1001).evaluation.confused is None


def test_eval_tells_the_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = replace(cs.network("small-resnet"), input_channels=1).at_resolution(8)
    preprocessing = Preprocessing(8, mean=(0.5,), std=(0.5,))
    header = cs.WeightsHeader(network, preprocessing, tuple("0123456789"))
    cs.save_weights(tmp_path / "net.safetensors", cs.build(network, seed=0), header)
    words = ("eval", tmp_path / "net.safetensors", "--data", "digits")
    found, text = run_json(capsys, *words), run(capsys, *words)[1]
    assert len(found["confused"]) == 10 and "most confused" in text
    counts = [pair["count"] for pair in found["confused"]]
    assert counts == sorted(counts, reverse=True) and sum(counts) <= round(found["n"] * (1 - found["top1"]))
    rows = [line.split() for line in text.splitlines()[-10:]]
    assert rows == [[pair["true"], pair["predicted"], str(pair["count"])] for pair in found["confused"]]


def test_the_most_confident_mistakes_are_kept(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    model = cs.build(replace(cs.network("small-resnet"), input_channels=1, num_classes=3).at_resolution(8), seed=0)
    torch.nn.init.normal_(model.head.get_submodule("classifier.linear").weight, generator=generator)
    labels = torch.randint(0, 3, (90,), generator=generator).numpy()
    pictures, every = Pictures(tmp_path, ("a", "b", "c")), list[EvaluatedBatch]()
    images = ArrayImages(pixels, labels, "made")
    preprocessing = Preprocessing(8, mean=(0.5,), std=(0.5,))
    measure(model, images, preprocessing, ("a", "b", "c"), batch=7, each_image=[pictures.add, every.append])
    wanted = [
        (probability, name, "abc"[true], "abc"[predicted], seen)
        for batch in every
        for probability, name, true, predicted, seen in zip(
            batch.logits.softmax(1).max(1).values.tolist(), batch.names, batch.truth.tolist(),
            batch.predicted.tolist(), batch.pixels, strict=True,
        )
        if true != predicted
    ]  # fmt: skip
    wanted = sorted(wanted, key=lambda one: -one[0])[:SHOWN_MISTAKES]
    assert len(wanted) == SHOWN_MISTAKES == len(pictures.mistakes)
    for mistake, (probability, name, true, predicted, seen) in zip(pictures.mistakes, wanted, strict=True):
        assert (mistake.name, mistake.true, mistake.predicted) == (name, true, predicted)
        assert mistake.probability == pytest.approx(probability) and np.array_equal(mistake.pixels, seen)
        assert np.array_equal(mistake.pixels[0], pixels[int(name[5:-1])])


def test_probabilities_that_are_not_finite_are_no_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = Pictures(tmp_path, ("a", "b"))
    (tmp_path / "mistakes.png").write_bytes(b"of before")
    logits = torch.tensor([[float("nan")] * 2, [2.0, 1.0]])
    pictures.add(
        EvaluatedBatch(("x", "y"), torch.zeros(2, 3, 4, 4), logits, torch.tensor([1, 0]), torch.tensor([0, 0]))
    )
    pictures.draw(counted([(0, 0), (1, 1)], 2))
    assert not (tmp_path / "mistakes.png").exists() and "no mistakes.png" in capsys.readouterr().err
    assert (tmp_path / "confusion.png").exists()


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 5, 7, 40])
def test_mistakes_are_drawn_whatever_they_are_called(tmp_path: Path, drawn: list[Any], count: int) -> None:
    pixels = [np.full((3 if index % 2 else 1, 9, 9), index, np.uint8) for index in range(count)]
    mistakes = [
        Mistake(f"/photos/{ODD[index % 10]}.png", pixels[index], ODD[index % 10], ODD[(index + 1) % 10], 1 - index / 50)
        for index in range(count)
    ]
    draw_mistakes(mistakes, tmp_path / "new" / "mistakes.png")
    with Image.open(tmp_path / "new" / "mistakes.png") as picture:
        assert picture.width > 1000
    titles = [cell.get_title() for cell in drawn[0].axes if cell.axison]
    assert len(titles) == min(count, 25)
    assert titles[0] == r"true: \$a\$b_c^{" "\n" r"a\\$ 1.00"


def test_names_are_shown_in_one_line_and_cut_with_an_ellipsis() -> None:
    assert plain("resolution of a long name indeed") == "resolution of a long na…"
    assert plain("a\nb$") == r"a\nb\$" and plain("犬") == r"\u72ac" and plain("x" * 24) == "x" * 24


@pytest.mark.long
def test_small_confusion_matrices_have_their_counts(tmp_path: Path, drawn: list[Any]) -> None:
    counts = np.array([[0, 7], [12_345, 1_234]])
    draw_confusion(counts, ("a", "b"), tmp_path / "a.png")
    shown = {tuple(map(round, text.get_position())): text.get_text() for text in drawn[0].axes[0].texts}
    assert shown == {(1, 0): "7", (0, 1): "12.3k", (1, 1): "1,234"}
    for classes, texts in ((20, 400), (21, 0)):
        draw_confusion(
            np.ones((classes, classes), int), [ODD[index % 10] for index in range(classes)], tmp_path / "b.png"
        )
        assert len(drawn[-1].axes[0].texts) == texts


def test_the_legend_of_reliability_covers_nothing_and_points_are_whole(tmp_path: Path, drawn: list[Any]) -> None:
    bins = [CalibrationBin(index / 15, (index + 1) / 15, 3, (index + 1) / 15, 1.0) for index in range(15)]
    draw_reliability(bins, tmp_path / "a.png")
    figure = drawn[0]
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(axes.get_tightbbox().overlaps(box) for axes in figure.axes)
    points = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert not points.get_clip_on() and points.get_xdata()[-1] == 1


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 16, 350])
def test_epochs_are_whole_numbers(tmp_path: Path, drawn: list[Any], epochs: int) -> None:
    row = EpochRecord(
        epoch=1, steps=1, learning_rate=0.1, train_loss=None, gradient_norm=None, top1=0.5, seconds=1, data_seconds=1,
        forward_seconds=1, backward_seconds=1, optimizer_seconds=1, images_per_second=1,
    )  # fmt: skip
    draw_curves([replace(row, epoch=1 + index) for index in range(epochs)], tmp_path / "a.png")
    for axes in drawn[0].axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(tick == round(tick) for tick in ticks) and low < 1 and high > epochs
